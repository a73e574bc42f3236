"""The client for asyncio."""

import asyncio
from collections.abc import Awaitable, Callable

import grpc
import pytest
from opentelemetry.sdk.trace import TracerProvider

from llm_inference.v1 import inference_pb2, models_pb2
from llm_inference_client import TIMEOUT, ServiceError, aio
from tests.client.service import FakeService
from tests.fakes.ports import free_port

ASK = inference_pb2.GenerateRequest(prompt="abc")
ENDLESS = inference_pb2.GenerateRequest(prompt="abc", max_tokens=1)


async def test_call_is_answered(service: FakeService) -> None:
    async with aio.connect(service.address) as client:
        assert (await client.inference.Generate(ASK)).text == "abc"
        assert [part.text async for part in client.inference.GenerateStream(ASK)] == ["a", "b", "c"]
        assert (await client.inference.GenerateStream(ASK).read()).text == "a"


async def test_each_call_has_a_deadline_but_a_watch(service: FakeService) -> None:
    async with aio.connect(service.address) as client:
        await client.inference.Generate(ASK)
        await client.inference.Generate(ASK, timeout=20)
        assert len([state async for state in client.models.WatchModel(models_pb2.WatchModelRequest(model="m"))]) == 1
    default, given, watch = (remaining for _, remaining in service.seen)
    assert TIMEOUT - 60 <= (default or 0) <= TIMEOUT + 5  # gRPC rounds up.
    assert 0 < (given or 0) <= 25
    assert watch is None


async def test_key_and_current_span_go_with_each_call(service: FakeService) -> None:
    tracer = TracerProvider().get_tracer("test")
    async with aio.connect(service.address, key="secret") as client:
        with tracer.start_as_current_span("asking") as span:
            await client.inference.Generate(ASK)
    metadata, _ = service.seen[0]
    assert metadata["authorization"] == "Bearer secret"
    assert metadata["traceparent"].startswith(f"00-{span.get_span_context().trace_id:032x}-")


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.inference.Generate(ASK),
        lambda client: anext(aiter(client.inference.GenerateStream(ASK))),
        lambda client: client.inference.GenerateStream(ASK).read(),
    ],
)
async def test_error_is_read(service: FakeService, ask: Callable[[aio.Client], Awaitable[object]]) -> None:
    service.refusals.append(grpc.StatusCode.INVALID_ARGUMENT)
    async with aio.connect(service.address) as client:
        with pytest.raises(ServiceError) as caught:
            await ask(client)
    error = caught.value
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "OVERLOADED")
    assert (error.field, error.retry_after) == ("messages[0].role", 1.5)


async def test_refusal_of_a_service_that_stops_is_tried_again(service: FakeService) -> None:
    service.refusals += [grpc.StatusCode.UNAVAILABLE] * 2
    async with aio.connect(service.address) as client:
        assert (await client.inference.Generate(ASK)).text == "abc"
    assert len(service.seen) == 3


async def test_stream_that_is_left_is_cancelled(service: FakeService) -> None:
    async with aio.connect(service.address) as client:
        async with client.inference.GenerateStream(ENDLESS) as parts:
            async for part in parts:
                assert part.text == "a"
                break
        assert await asyncio.to_thread(service.left.wait, 30)


async def test_address_where_nothing_answers_is_said_at_once() -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(ServiceError, match=f"no service that is ready answers at {address}"):
        async with aio.connect(address, connect_timeout=0.2):
            pass
