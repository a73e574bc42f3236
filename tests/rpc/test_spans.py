"""The spans of RPCs, with a real server and handlers that end in every way."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import grpc
import grpc.aio
import pytest
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.trace import StatusCode

from llm_inference_api.rpc.spans import RpcSpans

METHOD = "/llm_inference.v1.Service/Call"
Stream = Callable[[bytes, Any], AsyncGenerator[bytes]]


class FirstSpan(SpanProcessor):
    """Waits for the first span that ends."""

    def __init__(self) -> None:
        self._ended: asyncio.Future[ReadableSpan] = asyncio.get_running_loop().create_future()

    def on_end(self, span: ReadableSpan) -> None:
        self._ended.set_result(span)

    async def ended(self) -> ReadableSpan:
        """Returns it."""
        return await asyncio.wait_for(self._ended, 5)


@asynccontextmanager
async def served(
    behaviour: Stream,
) -> AsyncGenerator[tuple[grpc.aio.UnaryStreamMultiCallable[bytes, bytes], FirstSpan]]:
    """Yields a way to call the handler, and the span that comes of it."""
    first, provider = FirstSpan(), TracerProvider()
    provider.add_span_processor(first)
    server = grpc.aio.server(interceptors=[RpcSpans(SimpleNamespace(provider=provider))])  # type: ignore[arg-type]
    handlers = {"Call": grpc.unary_stream_rpc_method_handler(behaviour)}
    generic = grpc.method_handlers_generic_handler("llm_inference.v1.Service", handlers)
    server.add_generic_rpc_handlers((generic,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel.unary_stream(METHOD), first
    await server.stop(0)


async def test_caller_that_leaves_while_it_is_sent_to_has_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    """Its handler waits in a `yield`, where the garbage collector closes it; handler and span end all the same."""
    sending, closed = asyncio.Event(), asyncio.Event()

    async def endless(_: bytes, __: Any) -> AsyncGenerator[bytes]:
        try:
            yield b""
            sending.set()
            yield bytes(64 << 20)  # More than any connection's window: it waits for a caller who reads.
        finally:
            closed.set()

    with caplog.at_level(logging.WARNING):
        async with served(endless) as (call, first):
            stream = call(b"")
            await stream.read()
            await sending.wait()
            stream.cancel()
            span = await first.ended()
            await asyncio.wait_for(closed.wait(), 5)
    assert span.attributes is not None
    assert span.attributes["rpc.grpc.status_code"] == 1
    assert span.status.status_code is StatusCode.UNSET
    assert not [record for record in caplog.records if "detach" in record.getMessage()]


async def test_exception_of_a_handler_is_a_failure() -> None:
    """What no interceptor has turned into a status is UNKNOWN to the caller, and to the span."""

    async def broken(_: bytes, __: Any) -> AsyncGenerator[bytes]:
        yield b""
        raise RuntimeError("bug")

    async with served(broken) as (call, first):
        with pytest.raises(grpc.aio.AioRpcError):
            [message async for message in call(b"")]
        span = await first.ended()
    assert span.attributes is not None
    assert span.attributes["rpc.grpc.status_code"] == 2
    assert span.status.status_code is StatusCode.ERROR


async def test_abort_is_a_status_and_no_exception() -> None:
    """A handler that aborts has not crashed: the span has the code, the text, and no exception."""

    async def refusing(_: bytes, context: Any) -> AsyncGenerator[bytes]:
        yield b""
        await context.abort(grpc.StatusCode.UNAVAILABLE, "come back later")

    async with served(refusing) as (call, first):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            [message async for message in call(b"")]
        span = await first.ended()
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert span.attributes is not None
    assert span.attributes["rpc.grpc.status_code"] == 14
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "come back later")
    assert span.events == ()
