"""The spans of RPCs and of their requests to models, with a real server."""

import asyncio
import contextvars
import secrets
from collections.abc import AsyncGenerator
from typing import Any

import grpc
import grpc.aio
import pytest
from opentelemetry.instrumentation.grpc import aio_server_interceptor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind

from llm_inference.v1 import inference_pb2_grpc
from llm_inference.web.v1 import operations_pb2, operations_pb2_grpc
from llm_inference_api.requests.request import GenerationRequest, Sampling
from llm_inference_api.rpc.call import Call
from tests.fakes.collector import Collector
from tests.rpc.scripted import REQUEST, UNARY, EndedSpans, Part, ScriptedServicer, Whole, access_lines, scripted

CALLERS_SPAN = "b7ad6b7169203331"
GENERATION = GenerationRequest("r1", "x", Sampling(seed=1), model="tiny")


async def answer(_: Call) -> Any:
    return Whole(text="a")


async def asks_a_model(call: Call) -> Any:
    with call.span.generation(GENERATION, streamed=False):
        return Whole(text="a")


def trace_of(flags: str = "01") -> tuple[str, tuple[tuple[str, str], ...]]:
    """Returns a new trace's id, and the metadata of a caller in it."""
    trace = secrets.token_hex(16)
    return trace, (("traceparent", f"00-{trace}-{CALLERS_SPAN}-{flags}"),)


async def test_span_has_the_name_and_attributes_of_opentelemetrys_own(collector: Collector) -> None:
    """The instrumentation package's server, asked the same, is the oracle; ours adds the request's id."""
    ended, provider = EndedSpans(), TracerProvider()
    provider.add_span_processor(ended)
    server = grpc.aio.server(interceptors=[aio_server_interceptor(provider)])
    inference_pb2_grpc.add_InferenceServiceServicer_to_server(ScriptedServicer(answer), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        await inference_pb2_grpc.InferenceServiceStub(channel).Generate(REQUEST)
        theirs = await ended.first()
    await server.stop(5)
    async with scripted(answer, collector) as running:
        await running.unary(metadata=(("x-request-id", "r1"),))
        ours = await running.spans.first()
    assert (ours.name, ours.kind) == (theirs.name, theirs.kind) == (UNARY, SpanKind.SERVER)
    expected = {**(theirs.attributes or {}), "rpc.request.metadata.x-request-id": ("r1",)}
    found = dict(ours.attributes or {})
    assert found.pop("net.peer.port") != expected.pop("net.peer.port")
    assert found == expected


async def test_models_span_is_the_rpcs_child_and_that_the_callers(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    """The log's ids are those of the RPC's span."""
    trace, metadata = trace_of()
    async with scripted(asks_a_model, collector) as running:
        await running.unary(metadata=metadata)
        await running.spans.first()
    model, rpc = running.spans.all
    assert model.name == "text_completion tiny"
    assert model.parent is not None
    assert rpc.parent is not None
    assert (model.parent.span_id, rpc.parent.span_id) == (rpc.context.span_id, int(CALLERS_SPAN, 16))
    assert {span.context.trace_id for span in running.spans.all} == {int(trace, 16)}
    (line,) = access_lines(caplog)
    assert (line["trace_id"], line["span_id"]) == (trace, f"{rpc.context.span_id:016x}")


async def test_models_span_has_its_parent_in_any_task(collector: Collector) -> None:
    """A stream that is closed by its caller's leaving ends in another task; contexts are not copied there."""

    async def asks_in_a_task(call: Call) -> Any:
        return await asyncio.create_task(asks_a_model(call), context=contextvars.Context())

    async with scripted(asks_in_a_task, collector) as running:
        await running.unary()
        await running.spans.first()
    model, rpc = running.spans.all
    assert model.parent == rpc.context


async def test_concurrent_streams_keep_their_own_spans(collector: Collector) -> None:
    """Streams whose messages alternate in one event loop do not become each other's parents."""
    turns = asyncio.Barrier(2)

    async def alternating(call: Call) -> AsyncGenerator[Any]:
        await turns.wait()
        with call.span.generation(GENERATION, streamed=False):
            yield Part(text="a")
            await turns.wait()
            yield Part(text="b")

    async with scripted(alternating, collector) as running:

        async def read(metadata: Any) -> None:
            async for _ in running.stream(metadata=metadata):
                pass

        traces = [trace_of(), trace_of()]
        await asyncio.gather(*(read(metadata) for _, metadata in traces))
        assert await running.admission.empty(10)
    families = {span.context.trace_id: set() for span in running.spans.all}  # type: ignore[var-annotated]
    for span in running.spans.all:
        families[span.context.trace_id].add(span.name)
    assert set(families) == {int(trace, 16) for trace, _ in traces}
    assert all(len(names) == 2 for names in families.values())


async def test_caller_that_does_not_sample_is_in_the_log_only(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    """No span is recorded, neither the RPC's nor the model's."""
    trace, metadata = trace_of(flags="00")
    async with scripted(asks_a_model, collector) as running:
        await running.unary(metadata=metadata)
        assert await running.admission.empty(10)
    assert running.spans.all == []
    assert [line["trace_id"] for line in access_lines(caplog)] == [trace]


async def test_reading_the_metrics_has_no_span(collector: Collector, caplog: pytest.LogCaptureFixture) -> None:
    """Prometheus does it all day. The log has the caller's trace all the same."""
    trace, metadata = trace_of()
    async with scripted(answer, collector) as running:
        stub = operations_pb2_grpc.OperationsServiceStub(running.channel)
        await stub.GetMetrics(operations_pb2.GetMetricsRequest(), metadata=metadata)
        assert await running.admission.empty(10)
    assert running.spans.all == []
    assert [line["trace_id"] for line in access_lines(caplog)] == [trace]


async def test_without_a_collector_the_log_has_the_callers_trace(caplog: pytest.LogCaptureFixture) -> None:
    """The ids of a caller's trace are read without OpenTelemetry."""
    trace, metadata = trace_of()
    async with scripted(answer, None) as running:
        await running.unary(metadata=metadata)
        assert await running.admission.empty(10)
    (line,) = access_lines(caplog)
    assert line["trace_id"] == trace
    assert "span_id" not in line


@pytest.mark.parametrize("traceparent", ["", "00-x", f"00-{'g' * 32}-{CALLERS_SPAN}-01"])
async def test_traceparent_that_is_none_begins_a_trace(traceparent: str, collector: Collector) -> None:
    """A header that no W3C context is in is ignored."""
    async with scripted(answer, collector) as running:
        await running.unary(metadata=(("traceparent", traceparent),))
        span = await running.spans.first()
    assert span.parent is None
