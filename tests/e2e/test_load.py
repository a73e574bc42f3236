"""Many callers at once, callers that leave, and prompts that begin alike."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from llm_inference.v1 import inference_pb2
from llm_inference_api.engine.scheduler import MIN_SHARED_TOKENS
from tests.e2e.service import RunningService, inference, run_service
from tests.e2e.sse import events, read, stream, text_of
from tests.fakes.gguf import CLEAR_CALLERS, write_tiny_model

ENDLESS = {"model": "tiny", "prompt": "hello", "max_tokens": 1900, "ignore_eos": True}


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service whose model takes a while for a long prompt, with two slots."""
    directory = tmp_path_factory.mktemp("slow")
    write_tiny_model(directory / "slow.gguf", layers=6, width=256, context_length=8192)
    variables = {
        "LLM_ALLOWED_MODELS": "slow.gguf",
        "LLM_MAX_CONCURRENT_REQUESTS": "2",
        "LLM_MAX_QUEUED_REQUESTS": "2",
        "LLM_CONTEXT_LENGTH": "8192",
        "LLM_MAX_TOKENS_LIMIT": "8192",
        "LLM_BATCH_TOKENS": "64",
        "LLM_PROGRESS_INTERVAL": "0.2",
    }
    with run_service(directory, directory, **variables) as service:
        yield service


def slow_body(prompt_tokens: int, max_tokens: int, first: str = "a") -> dict[str, Any]:
    """A request with a prompt that shares nothing with one that begins otherwise."""
    return {"prompt": (first + "x" * prompt_tokens)[:prompt_tokens], "max_tokens": max_tokens, "ignore_eos": True}


@contextmanager
def open_stream(service: RunningService, body: dict[str, Any]) -> Iterator[Iterator[Any]]:
    """Yields the events of a stream whose first one has arrived."""
    with service.http() as http, stream(http, "/api/generate/stream", body) as (response, found):
        assert response.status_code == 200, response.read()
        next(found)
        yield found


def test_thirty_two_streams_all_end_with_their_own_text(service: RunningService) -> None:
    """Tokens counted by the callers equal the usage and the metrics, and a text is what it is alone."""

    def body(index: int) -> dict[str, Any]:
        return {**ENDLESS, "prompt": f"caller {index}", "max_tokens": 40, "temperature": 0, "logprobs": True}

    def call(index: int) -> tuple[str, int, int]:
        with service.http() as http:
            found = [event for event in read(http, "/api/generate/stream", body(index)) if "progress" not in event]
        counted = sum(len(event.get("logprobs", {}).get("tokens", [])) for event in found)
        assert found[-1]["finish_reason"] == "LENGTH"
        return text_of(found), counted, found[-1]["usage"]["completion_tokens"]

    before = service.metric("completion_tokens_total", model="tiny")
    with ThreadPoolExecutor(32) as pool:
        together = list(pool.map(call, range(32)))
    generated = service.metric("completion_tokens_total", model="tiny") - before
    for number in CLEAR_CALLERS[:4]:
        assert call(number)[0] == together[number][0]
    assert all(counted == usage == 40 for _, counted, usage in together)
    assert generated == 32 * 40
    assert len({text for text, _, _ in together}) == 32


def test_prompts_that_begin_alike_are_computed_once(slow: RunningService) -> None:
    """Requests with one long beginning compute it once, also while the first of them still computes it."""
    shared = "The same long system prompt. " * 20
    cached_before = slow.metric("cached_tokens_total")
    bodies = [{"prompt": f"{shared}{index}", "max_tokens": 2, "ignore_eos": True} for index in range(4)]
    with ThreadPoolExecutor(4) as pool, slow.http() as http:
        answers = list(pool.map(lambda body: http.post("/api/generate", json=body).json(), bodies))
    cached = sorted(answer["usage"]["cached_tokens"] for answer in answers)
    assert cached[0] < 10
    assert all(count > len(shared) - MIN_SHARED_TOKENS for count in cached[1:])
    assert slow.metric("cached_tokens_total") - cached_before == sum(cached)


def test_full_queue_is_a_429_with_a_time_to_come_back(slow: RunningService) -> None:
    """Beyond slots and queue, requests are refused at once on both wires."""
    with ThreadPoolExecutor(4) as pool, slow.http() as http:
        started = [threading.Event() for _ in range(4)]
        leave = threading.Event()

        def occupy(index: int) -> None:
            with (
                slow.http() as own,
                own.stream("POST", "/api/generate/stream", json=slow_body(50, 7000, first=str(index))) as response,
            ):
                found = events(response)  # Kept: the stream closes with its iterator.
                next(found)
                started[index].set()
                leave.wait(30)

        for index in range(4):
            pool.submit(occupy, index)
        assert all(event.wait(20) for event in started)
        answer = http.post("/api/generate", json=slow_body(5, 1))
        with grpc.insecure_channel(slow.address) as channel, pytest.raises(grpc.RpcError) as caught:
            inference(channel).Generate(inference_pb2.GenerateRequest(prompt="x"))
        leave.set()
    assert answer.status_code == 429
    assert answer.json()["code"] == 8
    assert int(answer.headers["retry-after"]) >= 1
    kinds = {detail["@type"].rpartition(".")[2] for detail in answer.json()["details"]}
    assert kinds == {"ErrorInfo", "RetryInfo", "QuotaFailure"}
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED  # type: ignore[attr-defined]
    slow.wait_for_metric("requests_running", 0)


def test_waiting_streams_say_where_they_stand(slow: RunningService) -> None:
    """A stream without text sends its place in the queue, then how much of its prompt is computed."""
    with (
        open_stream(slow, slow_body(10, 7000, "p")),
        open_stream(slow, slow_body(10, 7000, "q")),
        slow.http() as http,
        stream(http, "/api/generate/stream", slow_body(10, 1, "r")) as (_, found),
    ):
        waiting = next(found)
    assert waiting == {"progress": {"stage": "QUEUED", "requests_ahead": 0}}
    with slow.http() as http, stream(http, "/api/generate/stream", slow_body(4000, 1, "s")) as (_, found):
        stages = [event["progress"] for event in found if "progress" in event]
    assert any(stage["stage"] == "PREFILL" and 0 < stage["computed_tokens"] < 4000 for stage in stages)


@pytest.mark.parametrize("way", ["rest", "grpc cancel", "grpc deadline"])
@pytest.mark.parametrize("stage", ["queue", "prefill", "decode"])
def test_caller_that_leaves_frees_its_place(slow: RunningService, stage: str, way: str) -> None:
    """A closed connection, a cancel and a passed deadline end the request in whatever stage it is."""
    bodies = {
        "queue": slow_body(10, 5, f"q{way}"),
        "prefill": slow_body(4000, 5, f"p{way}"),
        "decode": slow_body(10, 7000, f"d{way}"),
    }
    leave = {"rest": leave_rest, "grpc cancel": leave_by_cancel, "grpc deadline": leave_by_deadline}[way]
    if stage == "queue":
        with open_stream(slow, slow_body(10, 7000, "1")), open_stream(slow, slow_body(10, 7000, "2")):
            assert leave(slow, bodies[stage], stage) == stage
            assert slow.metric("requests_waiting") == 0
    else:
        assert leave(slow, bodies[stage], stage) == stage
    slow.wait_until_idle()
    slow.wait_for_metric("kv_cells_used", 0)


STAGES = ("loading", "queue", "prefill", "decode")


def stage_of_cancelled(service: RunningService, leave: Callable[[], None]) -> str:
    """Returns the stage of the request that the service has cancelled soon after somebody left."""
    before = {stage: service.metric("cancelled_total", stage=stage) for stage in STAGES}
    leave()
    service.wait_for_metric("cancelled_total", sum(before.values()) + 1, seconds=3.0)
    (found,) = (stage for stage in STAGES if service.metric("cancelled_total", stage=stage) > before[stage])
    return found


def wait_for_arrival(service: RunningService, stage: str) -> None:
    """Returns when one request waits, or one is computed."""
    service.wait_for_metric("requests_waiting" if stage == "queue" else "requests_running", 1)


def leave_rest(service: RunningService, body: dict[str, Any], stage: str) -> str:
    """Opens a stream over REST and closes the connection. Returns the stage that the request was in."""
    client = service.http()

    def run() -> None:
        try:
            read(client, "/api/generate/stream", body)
        except (httpx.HTTPError, httpx.StreamError, AssertionError, RuntimeError, OSError, ValueError):
            return

    def leave() -> None:
        thread = threading.Thread(target=run)
        thread.start()
        wait_for_arrival(service, stage)
        for connection in client._transport._pool.connections:  # type: ignore[attr-defined]
            connection._connection._network_stream.get_extra_info("socket").shutdown(2)
        thread.join(10)

    with client:
        return stage_of_cancelled(service, leave)


def leave_by_cancel(service: RunningService, body: dict[str, Any], stage: str) -> str:
    """Opens a stream over gRPC and cancels it. Returns the stage that the request was in."""

    def leave() -> None:
        call = inference(channel).GenerateStream(inference_pb2.GenerateRequest(**body))
        wait_for_arrival(service, stage)
        call.cancel()

    with grpc.insecure_channel(service.address) as channel:
        return stage_of_cancelled(service, leave)


def leave_by_deadline(service: RunningService, body: dict[str, Any], stage: str) -> str:
    """Opens a stream over gRPC whose deadline passes. Returns the stage that the request was in.

    Where a busy machine had not brought the request to `stage` by then, another one gets more time.
    """
    timeout = 0.4

    def leave() -> None:
        call = inference(channel).GenerateStream(inference_pb2.GenerateRequest(**body), timeout=timeout)
        with pytest.raises(grpc.RpcError) as caught:
            list(call)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED  # type: ignore[attr-defined]

    with grpc.insecure_channel(service.address) as channel:
        while STAGES.index(found := stage_of_cancelled(service, leave)) < STAGES.index(stage):
            timeout *= 2
    return found


def test_long_prompt_does_not_stall_running_streams(slow: RunningService) -> None:
    """While a long prompt is computed, a running answer keeps moving: its gaps stay far below the prompt's time."""
    with open_stream(slow, slow_body(10, 3000, "running")) as running:
        started = time.monotonic()
        with slow.http() as http, ThreadPoolExecutor(1) as pool:
            prefill = pool.submit(http.post, "/api/generate", json=slow_body(1500, 1, "long"))
            count = 0
            while not prefill.done() and next(running, None):
                count += 1
            assert prefill.result().status_code == 200
    assert count >= 1500 / 512, f"{count} events in {time.monotonic() - started} s"


def test_reader_that_stops_reading_holds_nobody(service: RunningService, tmp_path: Path) -> None:
    """A caller that does not read does not slow the others, and its answer is complete when it reads at last."""
    with service.http() as http, stream(http, "/api/generate/stream", ENDLESS) as (_, found):
        first = next(found)
        assert http.post("/api/generate", json={**ENDLESS, "max_tokens": 50}).status_code == 200
        service.wait_for_metric("requests_running", 0, seconds=20, model="tiny")
        rest = list(found)
    assert rest[-1]["usage"]["completion_tokens"] == 1900
    assert first["model"] == "tiny"
