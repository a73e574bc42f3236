"""Faults beside callers of every kind: what each may cost, and that nothing of it stays."""

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random

import grpc
import httpx
import pytest

from llm_inference.v1 import inference_pb2
from tests.e2e.service import RunningService, inference
from tests.faults.baseline import CANARY_TOKENS
from tests.faults.callers import KINDS, TOKENS
from tests.faults.conftest import MODEL, Stage

pytestmark = pytest.mark.timeout(600)  # Each waits for a load, which a busy machine may slow down several times.

STORY = {"model": MODEL, "prompt": "Once", "max_tokens": 400, "ignore_eos": True}


def test_nothing_is_lost_and_nothing_twice(stage: Stage) -> None:
    """Three callers of each kind: every answer has its tokens once, as callers, usage and metrics count them."""
    before = stage.generated()
    with stage.load(each=3) as callers:
        callers.floor(each=4)
    assert callers.lost() == []
    # The canary's tokens, asked at the end of the load, are not the callers'.
    assert callers.tokens() == TOKENS * len(callers.outcomes) == stage.generated() - before - CANARY_TOKENS


def test_text_is_the_same_alone_and_in_a_full_batch(stage: Stage) -> None:
    """And whether its prompt was in the cache or not."""
    with stage.load(each=2) as callers:
        pass
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Tell me a story."}], "temperature": 0}
    answer = httpx.post(f"{stage.service.url}/api/chat", json={**body, "max_tokens": TOKENS, "ignore_eos": True})
    assert {answer.json()["message"]["content"]} == callers.texts()


def leave_grpc(service: RunningService, seconds: float) -> None:
    """Reads a stream for a while, and cancels it."""
    with grpc.insecure_channel(service.address) as channel:
        call = inference(channel).GenerateStream(inference_pb2.GenerateRequest(**STORY))
        Random(seconds).choice([lambda: next(call), lambda: None])()
        call.cancel()


def let_deadline_pass(service: RunningService, seconds: float) -> None:
    """Waits for an answer no longer than this."""
    with grpc.insecure_channel(service.address) as channel, pytest.raises(grpc.RpcError) as found:
        inference(channel).Generate(inference_pb2.GenerateRequest(**{**STORY, "max_tokens": 1900}), timeout=seconds)
    assert found.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def hang_up(service: RunningService, seconds: float) -> None:
    """Closes the connection of an answer over REST."""
    with service.http() as http, pytest.raises(httpx.ReadTimeout):
        http.post("/api/generate", json={**STORY, "max_tokens": 1900}, timeout=seconds)


@pytest.mark.parametrize("leave", [leave_grpc, let_deadline_pass, hang_up])
def test_callers_who_leave_cost_others_nothing(stage: Stage, leave: Callable[[RunningService, float], None]) -> None:
    """Wherever their requests are: waiting, in the prompt, in the answer."""
    random = Random(7)
    with stage.load() as callers, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: leave(stage.service, random.uniform(0.02, 0.4)), range(24)))
        callers.floor()
    assert callers.lost() == []


def test_readers_who_stop_slow_nobody(stage: Stage) -> None:
    """Sixteen of them, each behind an answer longer than the buffers on its way."""
    with stage.load() as callers, grpc.insecure_channel(stage.service.address) as channel:
        request = inference_pb2.GenerateRequest(**{**STORY, "max_tokens": 100, "logprobs": True, "top_logprobs": 20})
        calls = [inference(channel).GenerateStream(request) for _ in range(16)]
        for call in calls:
            next(call)
        callers.floor(each=4)
        for call in calls:
            assert list(call)[-1].usage.completion_tokens == 100
    assert callers.lost() == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_dead_worker_costs_what_was_in_flight(stage: Stage, number: signal.Signals) -> None:
    """Those who had a part of their answer are told UNAVAILABLE, within seconds; the next ones are answered."""
    crashes = stage.service.metric("worker_crashes_total")
    with stage.load() as callers:
        os.kill(stage.service.worker_pid(), number)
        callers.floor(each=4)
    lost = callers.lost()
    assert len(lost) <= len(KINDS)
    assert {each.code for each in lost} <= {"UNAVAILABLE", "HTTP 503", "14", "worker_died"}, callers.ends()
    assert stage.service.metric("worker_crashes_total") == crashes + 1
    assert stage.service.process.poll() is None


def test_dead_envoy_costs_what_was_in_flight_through_it(stage: Stage) -> None:
    """gRPC goes on, and REST within seconds."""
    with stage.load() as callers:
        os.kill(stage.envoy_pid(), signal.SIGKILL)
        callers.floor(each=4)
    assert {each.kind for each in callers.lost()}.isdisjoint({"grpc_whole", "grpc_stream"})


def test_model_that_loads_and_unloads_costs_others_nothing(stage: Stage) -> None:
    """Another model's life is its own."""
    with stage.load() as callers, stage.service.http() as http:
        for _ in range(3):
            assert http.post("/api/llms/other:load").status_code == 200
            assert http.post("/api/llms/other:unload").status_code == 200
    assert callers.lost() == []
