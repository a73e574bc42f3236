"""What leaves the service when its own code fails: nothing of the failure."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from llm_inference.v1 import inference_pb2, inference_pb2_grpc
from llm_inference.web.v1 import operations_pb2, operations_pb2_grpc
from llm_inference_api.api.native.errors import NativeErrors
from llm_inference_api.observability.metrics import Metrics
from llm_inference_api.observability.spans import Spans
from llm_inference_api.rpc.admission import Admission
from llm_inference_api.rpc.authentication import Authenticator
from llm_inference_api.rpc.interceptor import MAX_RESPONSE_BYTES, CallInterceptor
from llm_inference_api.security.api_keys import KeyRing

SECRET = "/home/ann/secret-path"
CORRUPT = b"\x0a\xff\xff\xff\xff\x0f\xff"


class BrokenServicer(inference_pb2_grpc.InferenceServiceServicer):
    """Fails as a bug would: before the first message, and after it."""

    async def Generate(self, request: Any, context: Any) -> Any:
        raise RuntimeError(SECRET)

    async def Chat(self, request: Any, context: Any) -> inference_pb2.ChatResponse:
        content = "x" * (MAX_RESPONSE_BYTES + int(request.model))
        return inference_pb2.ChatResponse(message=inference_pb2.ChatMessage(content=content))

    async def GenerateStream(self, request: Any, context: Any) -> AsyncIterator[Any]:
        yield inference_pb2.GenerateStreamResponse(text="a")
        raise KeyError(SECRET)


class BrokenHealth(health_pb2_grpc.HealthServicer):
    """A library's service that fails."""

    async def Check(self, request: Any, context: Any) -> Any:
        raise OSError(SECRET)

    async def Watch(self, request: Any, context: Any) -> Any:
        await context.write(health_pb2.HealthCheckResponse())
        raise ValueError(SECRET)


@pytest.fixture
async def channel() -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a server whose services fail."""
    wires = {"llm_inference.v1.InferenceService": NativeErrors()}
    interceptor = CallInterceptor(Authenticator(KeyRing(None, None)), Admission(), Metrics("test"), Spans(), wires)
    server = grpc.aio.server(interceptors=[interceptor], options=[("grpc.max_send_message_length", MAX_RESPONSE_BYTES)])
    inference_pb2_grpc.add_InferenceServiceServicer_to_server(BrokenServicer(), server)
    operations_pb2_grpc.add_OperationsServiceServicer_to_server(operations_pb2_grpc.OperationsServiceServicer(), server)
    health_pb2_grpc.add_HealthServicer_to_server(BrokenHealth(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    options = [("grpc.max_receive_message_length", MAX_RESPONSE_BYTES)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as opened:
        yield opened
    await server.stop(None)


def shows_nothing(error: grpc.aio.AioRpcError) -> bool:
    """Whether neither the message nor the metadata name the failure's text, class or file."""
    metadata = [*(error.trailing_metadata() or ()), *(error.initial_metadata() or ())]
    seen = " ".join(map(str, (error.details(), error.debug_error_string(), *metadata)))
    classes = ("RuntimeError", "KeyError", "OSError", "ValueError", "NotImplementedError", "DecodeError")
    return not any(word in seen for word in (SECRET, *classes, "<class", ".py", "Traceback"))


async def read(call: Any, received: list[Any] | None = None) -> None:
    """Reads to the end, and keeps what came before an error."""
    async for message in call:
        (received if received is not None else []).append(message)


async def test_response_that_is_too_large_is_no_overload(channel: grpc.aio.Channel) -> None:
    """A new try would end in the same way, and gRPC's own RESOURCE_EXHAUSTED asks for one."""
    stub = inference_pb2_grpc.InferenceServiceStub(channel)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.Chat(inference_pb2.ChatRequest(model="1"))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "RESPONSE_TOO_LARGE" in str(refused.value.trailing_metadata())
    assert f"one message at most {MAX_RESPONSE_BYTES}" in (refused.value.details() or "")
    assert len((await stub.Chat(inference_pb2.ChatRequest(model="-100"))).message.content) == MAX_RESPONSE_BYTES - 100


async def test_failure_of_a_method_is_an_incident(channel: grpc.aio.Channel, caplog: pytest.LogCaptureFixture) -> None:
    """The caller gets an incident's id, under which the log has everything."""
    stub = inference_pb2_grpc.InferenceServiceStub(channel)
    with caplog.at_level(logging.ERROR), pytest.raises(grpc.aio.AioRpcError) as error:
        await stub.Generate(inference_pb2.GenerateRequest())
    assert error.value.code() is grpc.StatusCode.INTERNAL
    assert shows_nothing(error.value)
    assert SECRET in caplog.text
    incident = (error.value.details() or "").rpartition(" ")[2]
    assert any(getattr(record, "fields", {}).get("incident_id") == incident for record in caplog.records)


async def test_failure_within_a_stream_is_an_incident(channel: grpc.aio.Channel) -> None:
    """The stream's last message says no more than the status."""
    call = inference_pb2_grpc.InferenceServiceStub(channel).GenerateStream(inference_pb2.GenerateRequest())
    received: list[Any] = []
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await read(call, received)
    assert error.value.code() is grpc.StatusCode.INTERNAL
    assert shows_nothing(error.value)
    assert received[-1].error.code == grpc.StatusCode.INTERNAL.value[0]
    assert SECRET not in str(received)


async def test_method_without_an_implementation_shows_nothing(channel: grpc.aio.Channel) -> None:
    """Generated code raises exceptions too."""
    stub = operations_pb2_grpc.OperationsServiceStub(channel)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await stub.GetMetrics(operations_pb2.GetMetricsRequest())
    assert shows_nothing(error.value)


async def test_failure_of_a_librarys_service_is_an_incident(channel: grpc.aio.Channel) -> None:
    """Health and reflection are not ours, but their failures leave through our port."""
    stub = health_pb2_grpc.HealthStub(channel)
    for call in (stub.Check(health_pb2.HealthCheckRequest()), read(stub.Watch(health_pb2.HealthCheckRequest()))):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await call
        assert error.value.code() is grpc.StatusCode.INTERNAL
        assert shows_nothing(error.value)


async def test_librarys_method_without_an_implementation_is_unimplemented(channel: grpc.aio.Channel) -> None:
    """Such calls need no key; they must not fill the log with tracebacks."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await health_pb2_grpc.HealthStub(channel).List(health_pb2.HealthListRequest())
    assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    "method",
    ["/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch", "/llm_inference.v1.InferenceService/Chat"],
)
async def test_corrupt_message_is_an_invalid_argument(channel: grpc.aio.Channel, method: str) -> None:
    """gRPC itself would show the decoder's exception."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await read(channel.unary_stream(method)(CORRUPT))
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert shows_nothing(error.value)
