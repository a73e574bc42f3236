"""One caller with many requests, and another one with a single one."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from llm_inference.v1 import inference_pb2, models_pb2
from tests.e2e.secured import run_secured
from tests.e2e.service import RunningService, inference, models

KEYS = {"ann": "key-of-ann-0123456789", "bob": "key-of-bob-0123456789"}
LIMIT = 30


@pytest.fixture(scope="module")
def one_slot(tmp_path_factory: pytest.TempPathFactory, model_directory: Path) -> Iterator[RunningService]:
    """A service that computes one request at a time."""
    variables = {
        "LLM_API_KEYS": ",".join(f"{name}:{key}" for name, key in KEYS.items()),
        "LLM_MAX_CONCURRENT_REQUESTS": "1",
        "LLM_PROGRESS_INTERVAL": "0.6",
        "LLM_PREFIX_CACHE_PER_CALLER": "true",
        "LLM_MAX_QUEUED_REQUESTS": "60",
        "LLM_MAX_REQUESTS_PER_CALLER": str(LIMIT),
    }
    with run_secured(tmp_path_factory.mktemp("fair"), model_directory, **variables) as running:
        yield running


def metadata(caller: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {KEYS[caller]}")]


def places(call: Any) -> Iterator[int]:
    """Yields how many requests are before this one, each time that the service says so, until its text begins."""
    for part in call:
        if not part.HasField("progress"):
            return
        yield int(part.progress.requests_ahead)


@pytest.mark.parametrize("door", ["address", "through_envoy"])
def test_one_callers_queue_delays_anothers_request_by_one(one_slot: RunningService, door: str) -> None:
    """Where many requests of one caller wait, the only one of another is behind one of them, not behind all."""
    with grpc.insecure_channel(getattr(one_slot, door)) as channel:
        request = inference_pb2.GenerateRequest(prompt="x", max_tokens=2000, ignore_eos=True)
        many = [inference(channel).GenerateStream(request, metadata=metadata("ann"), timeout=60) for _ in range(LIMIT)]
        for call in many:
            next(call)  # It has arrived.
        single = inference(channel).GenerateStream(request, metadata=metadata("bob"), timeout=60)
        assert all(place <= 1 for place in places(single))
        assert one_slot.metric("requests_waiting") > LIMIT / 2
        # Not of the last one that was sent: streams of one connection may be read in another order.
        assert any(place >= 5 for call in many for place in places(call))
        for call in (*many, single):
            call.cancel()


COSTLY = 6


def costly(salt: int) -> inference_pb2.GenerateRequest:
    """Returns a request whose constraint is refused after about a second of processor time."""
    patterns = [{"pattern": f"(aa|aaa){{50,}}{number}{salt}", "type": "string"} for number in range(40)]
    return inference_pb2.GenerateRequest(prompt="x", max_tokens=1, json_schema=json.dumps({"allOf": patterns}))


def answered_before(calls: list[Any]) -> int:
    """Returns how many of the calls have ended."""
    return sum(call.done() for call in calls)


@pytest.mark.parametrize("door", ["address", "through_envoy"])
@pytest.mark.parametrize(("fields", "most"), [({}, 1), ({"regex": "[ab]"}, 3)], ids=["plain", "constrained"])
def test_one_callers_costly_constraints_delay_nobody(
    one_slot: RunningService, door: str, fields: dict[str, str], most: int
) -> None:
    """A request without a constraint waits for none of them, one with a constraint for the one that is compiled."""
    with grpc.insecure_channel(getattr(one_slot, door)) as channel:
        stub, salt = inference(channel), 1000 * len(door) + 100 * most
        calls = [stub.Generate.future(costly(salt + n), metadata=metadata("ann"), timeout=60) for n in range(COSTLY)]
        request = inference_pb2.GenerateRequest(prompt="x", max_tokens=1, **fields)
        stub.Generate(request, metadata=metadata("bob"), timeout=60)
        assert answered_before(calls) <= most
        refused = calls[0].exception()
        assert refused.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "takes too long, or too much memory, to compile" in refused.details()
        for call in calls:
            call.cancel()
    one_slot.wait_until_idle()


def test_caller_beyond_the_limit_is_told_when_to_come_back(one_slot: RunningService) -> None:
    """RESOURCE_EXHAUSTED with a time, for that caller alone."""
    asked, list_all = models_pb2.WatchModelRequest(model="tiny"), models_pb2.ListModelsRequest()
    with grpc.insecure_channel(one_slot.address) as channel:
        watches = [models(channel).WatchModel(asked, metadata=metadata("ann"), timeout=60) for _ in range(LIMIT)]
        for watch in watches:
            next(watch)  # It has arrived.
        with pytest.raises(grpc.RpcError) as error:
            models(channel).ListModels(list_all, metadata=metadata("ann"))
        assert models(channel).ListModels(list_all, metadata=metadata("bob")).models
        for watch in watches:
            watch.cancel()
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    retry, status = error_details_pb2.RetryInfo(), rpc_status.from_call(error.value)
    assert any(detail.Unpack(retry) for detail in status.details)
    assert retry.retry_delay.seconds >= 1


def test_caller_cannot_find_out_what_another_has_sent(one_slot: RunningService) -> None:
    """The second time a prompt costs its caller less, but tells nobody else that it was sent."""
    request = inference_pb2.GenerateRequest(prompt="a secret that nobody may guess " * 10, max_tokens=1)

    def cached_tokens(caller: str) -> int:
        with grpc.insecure_channel(one_slot.address) as channel:
            return int(inference(channel).Generate(request, metadata=metadata(caller)).usage.cached_tokens)

    assert cached_tokens("ann") == 0
    assert cached_tokens("bob") == 0
    assert cached_tokens("ann") > 0
