"""A server whose one service behaves as a test says, behind the real interceptor, and what is recorded of its RPCs."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
import pytest
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from llm_inference.v1 import inference_pb2, inference_pb2_grpc
from llm_inference.web.v1 import operations_pb2, operations_pb2_grpc
from llm_inference_api.api.native.errors import NativeErrors
from llm_inference_api.observability.metrics import Metrics
from llm_inference_api.observability.otlp import OtlpTarget
from llm_inference_api.observability.spans import Spans
from llm_inference_api.observability.tracing import TraceChoice, Tracing
from llm_inference_api.rpc.admission import Admission
from llm_inference_api.rpc.authentication import Authenticator
from llm_inference_api.rpc.call import Call
from llm_inference_api.rpc.error_writer import ErrorWriter
from llm_inference_api.rpc.interceptor import CallInterceptor
from llm_inference_api.security.api_keys import KeyRing
from tests.fakes.collector import Collector

SERVICE = "llm_inference.v1.InferenceService"
STREAM, UNARY = f"/{SERVICE}/GenerateStream", f"/{SERVICE}/Generate"
Part, Whole = inference_pb2.GenerateStreamResponse, inference_pb2.GenerateResponse
NATIVE = NativeErrors()
Stream = Callable[[Call], AsyncGenerator[Any]]
Unary = Callable[[Call], Awaitable[Any]]


class ScriptedServicer(inference_pb2_grpc.InferenceServiceServicer):
    """Behaves as it is told."""

    def __init__(self, behaviour: Any) -> None:
        self._behaviour = behaviour

    def Generate(self, request: Any, call: Call) -> Awaitable[Any]:
        return self._behaviour(call)  # type: ignore[no-any-return]

    def GenerateStream(self, request: Any, call: Call) -> AsyncGenerator[Any]:
        return self._behaviour(call)  # type: ignore[no-any-return]


class EmptyOperations(operations_pb2_grpc.OperationsServiceServicer):
    """Has metrics, which are empty."""

    async def GetMetrics(self, request: Any, call: Call) -> operations_pb2.GetMetricsResponse:
        return operations_pb2.GetMetricsResponse()


class EndedSpans(SpanProcessor):
    """Keeps the spans that have ended."""

    def __init__(self) -> None:
        self.all: list[ReadableSpan] = []
        self._first: asyncio.Future[ReadableSpan] = asyncio.get_running_loop().create_future()

    def on_end(self, span: ReadableSpan) -> None:
        self.all.append(span)
        if not self._first.done():
            self._first.set_result(span)

    async def first(self) -> ReadableSpan:
        """Returns the one that ended first, once there is one."""
        return await asyncio.wait_for(self._first, 10)


@dataclass
class Scripted:
    """A running server, and what is recorded of its RPCs."""

    channel: grpc.aio.Channel
    metrics: Metrics
    admission: Admission
    spans: EndedSpans
    port: int

    def stream(self, **options: Any) -> Any:
        """Calls the stream."""
        return inference_pb2_grpc.InferenceServiceStub(self.channel).GenerateStream(REQUEST, **options)

    def unary(self, **options: Any) -> Any:
        """Calls the unary method."""
        return inference_pb2_grpc.InferenceServiceStub(self.channel).Generate(REQUEST, **options)

    def counted(self) -> dict[tuple[str, str], float]:
        """Returns how many RPCs the metrics count, by method and code."""
        (family,) = (family for family in self.metrics.registry.collect() if family.name == "llm_inference_rpcs")
        return {(sample.labels["method"], sample.labels["code"]): sample.value for sample in family.samples}

    def in_flight(self) -> float | None:
        """Returns how many RPCs the metrics say are running."""
        return self.metrics.registry.get_sample_value("llm_inference_rpcs_in_flight")


REQUEST = inference_pb2.GenerateRequest(prompt="x")


def access_lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Returns the named values of the access log's lines."""
    return [record.fields for record in caplog.records if record.name == "llm_inference_api.access"]  # type: ignore[attr-defined]


@asynccontextmanager
async def scripted(
    behaviour: Stream | Unary,
    collector: Collector | None,
    keys: str | None = None,
    limit: int | None = None,
    *,
    writer: ErrorWriter = NATIVE,
    address: str = "127.0.0.1:0",
    write_timeout: float = 60.0,
) -> AsyncIterator[Scripted]:
    """Yields a running server. Its methods do what `behaviour` does; without a collector there are no spans."""
    metrics, admission, ended = Metrics("test"), Admission(limit), EndedSpans()
    spans: Spans = Spans()
    if collector is not None:
        spans = Tracing(TraceChoice(OtlpTarget(collector.endpoint), "test"), metrics.spans_lost)
        spans.provider.add_span_processor(ended)
    authenticator = Authenticator(KeyRing(keys, None))
    interceptor = CallInterceptor(
        authenticator, admission, metrics, spans, {SERVICE: writer}, write_timeout=write_timeout
    )
    server = grpc.aio.server(interceptors=[interceptor])
    inference_pb2_grpc.add_InferenceServiceServicer_to_server(ScriptedServicer(behaviour), server)
    operations_pb2_grpc.add_OperationsServiceServicer_to_server(EmptyOperations(), server)
    port = server.add_insecure_port(address)
    await server.start()
    async with grpc.aio.insecure_channel(address.replace(":0", f":{port}")) as channel:
        await channel.channel_ready()  # A call's time limit is not to pass before the server has heard of it.
        yield Scripted(channel, metrics, admission, ended, port)
    await server.stop(5)
    spans.close()
