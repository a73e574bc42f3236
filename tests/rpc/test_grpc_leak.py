"""What grpc.aio keeps of calls that end early, counted in the C library's heap."""

import asyncio
import ctypes
import gc
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest
from grpc._cython import cygrpc

from llm_inference_api.rpc.grpc_leak import LAST_RELEASE, free_failed_batches
from tests.rpc.scripted import STREAM

CALLS = 800
SPARE = 60
"""Bytes for each call: less than a batch of one operation (80). A thread that begins caches some 50 kB for itself."""

Context = grpc.aio.ServicerContext[bytes, bytes]


class _Heap(ctypes.Structure):
    """`struct mallinfo2` of glibc."""

    _fields_ = (
        ("not_asked_for", ctypes.c_size_t * 7),
        ("uordblks", ctypes.c_size_t),
        ("free", ctypes.c_size_t * 2),
    )


_mallinfo2 = getattr(ctypes.CDLL(None), "mallinfo2", None)
pytestmark = pytest.mark.skipif(_mallinfo2 is None, reason="glibc's count of its heap is needed")


def allocated() -> int:
    """Returns the bytes that are allocated in the C library's heap."""
    assert _mallinfo2 is not None
    _mallinfo2.restype = _Heap
    gc.collect()
    return int(_mallinfo2().uordblks)


class Leaver(grpc.GenericRpcHandler):
    """Says one thing and waits; where the caller leaves it ends as if nothing had happened."""

    def __init__(self) -> None:
        self.ended = asyncio.Semaphore(0)
        """Is released for each caller who has left."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        return grpc.unary_stream_rpc_method_handler(self._serve)  # type: ignore[arg-type]

    async def _serve(self, _: bytes, context: Context) -> AsyncGenerator[bytes]:
        try:
            yield b"x" * 100
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.ended.release()


@asynccontextmanager
async def server(handler: Leaver) -> AsyncIterator[int]:
    """Yields the port of a server with the handler."""
    running = grpc.aio.server(handlers=[handler])
    port = running.add_insecure_port("127.0.0.1:0")
    await running.start()
    try:
        yield port
    finally:
        await running.stop(0)


async def grown(work: Callable[[], Awaitable[None]]) -> float:
    """Returns the bytes for each call by which the heap is larger once the work has been done for the second time.

    Core frees a connection a little after its end.
    """
    await work()
    before = allocated()
    for _ in range(100):
        await asyncio.sleep(0.2)
        if (now := allocated()) >= before:
            break
        before = now
    await work()
    for _ in range(100):
        if (more := (allocated() - before) / CALLS) < SPARE:
            break
        await asyncio.sleep(0.1)
    return more


async def test_status_that_cannot_be_sent_is_freed() -> None:
    """A handler that ends normally after its caller has left: the batch with its status fails."""
    handler = Leaver()
    async with server(handler) as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:

        async def leave() -> None:
            for _ in range(CALLS):
                call = channel.unary_stream(STREAM)(b"")
                await call.read()
                call.cancel()
                await handler.ended.acquire()

        assert await grown(leave) < SPARE


async def test_wait_that_is_cancelled_is_freed() -> None:
    """A reader who waits for the next message when it gives up."""
    async with server(Leaver()) as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:

        async def give_up() -> None:
            for _ in range(CALLS):
                call = channel.unary_stream(STREAM)(b"")
                await call.read()
                waiting = asyncio.create_task(call.read())
                await asyncio.sleep(0)  # It waits.
                waiting.cancel()
                await asyncio.wait({waiting})

        assert await grown(give_up) < SPARE


async def test_failure_is_raised() -> None:
    """A batch's failure reaches who waits for it, and the server serves on."""
    handler = Leaver()
    async with server(handler) as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_stream(STREAM)(b"")
        await call.read()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call.read()
        assert await channel.unary_stream(STREAM)(b"").read() == b"x" * 100


def test_later_release_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have freed its batches, or have another function of the name."""
    its_own = object()
    monkeypatch.setattr(cygrpc, "execute_batch", its_own)
    monkeypatch.setattr(grpc, "__version__", f"{LAST_RELEASE[0]}.{LAST_RELEASE[1] + 1}.0")
    free_failed_batches()
    assert cygrpc.execute_batch is its_own
