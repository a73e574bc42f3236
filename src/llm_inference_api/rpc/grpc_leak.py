"""Frees what grpc.aio keeps of operations that fail: https://github.com/grpc/grpc/issues/43360.

`execute_batch` frees a batch's C structures after `await future`: 80 bytes for each operation, the message and the
metadata that were to be sent. Where the batch fails, since the caller has reset the call, or the awaiting task is
cancelled, that line is not reached: a caller who resets streams makes the service grow for as long as it runs.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined]

LAST_RELEASE = (1, 85)
"""Last release of grpcio whose batches are mended; a later one that still leaks fails tests/rpc/test_grpc_leak.py."""

_Execute = Callable[[Any, tuple[Any, ...], Any], Coroutine[Any, Any, None]]
_execute: _Execute = cygrpc.execute_batch


def free_failed_batches() -> None:
    """Has all batches of grpc.aio in this process freed when they end; does nothing in releases that may free them."""
    if tuple(map(int, grpc.__version__.split(".")[:2])) <= LAST_RELEASE:
        # grpc.aio's functions find it by its name in the module.
        cygrpc.execute_batch = execute_batch


def execute_batch(call: Any, operations: tuple[Any, ...], loop: asyncio.AbstractEventLoop) -> Awaitable[None]:
    """Starts a batch of operations and returns what ends with it. Raises ExecuteBatchError if it cannot be started."""
    return _Batch(loop).start(call, operations)


class _Batch:
    """Runs gRPC's own `execute_batch` to its end, whether the batch fails and whether its task still waits.

    To that function it is both the event loop, of which it wants a future, and that future, which never fails. It must
    be one object: gRPC holds a reference to the future alone.
    """

    __slots__ = ("_ended", "_loop", "_steps")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ended: asyncio.Future[None] = loop.create_future()

    def start(self, call: Any, operations: tuple[Any, ...]) -> asyncio.Future[None]:
        """Starts the batch; the future that is returned has its result or its error."""
        self._steps = _execute(call, operations, self)
        self._steps.send(None)
        return self._ended

    def create_future(self) -> "_Batch":
        """As the loop."""
        return self

    def call_soon_threadsafe(self, callback: Callable[..., object], *arguments: object) -> None:
        """As the loop: gRPC calls it to complete the future, mostly in the loop's own thread."""
        if asyncio._get_running_loop() is self._loop:  # noqa: SLF001 - get_running_loop raises where none runs
            callback(*arguments)
        else:
            self._loop.call_soon_threadsafe(callback, *arguments)

    def __await__(self) -> Generator[None]:
        """As the future."""
        yield

    def cancelled(self) -> bool:
        """As the future: gRPC would complete no other."""
        return False

    def set_result(self, _: None) -> None:
        """As the future: the batch has succeeded."""
        self._end(None)

    def set_exception(self, error: Exception) -> None:
        """As the future: the batch has failed."""
        self._end(error)

    def _end(self, error: Exception | None) -> None:
        try:
            self._steps.send(None)  # Frees the C structures, and reads what was received.
        except StopIteration:
            pass
        except Exception as unreadable:
            error = error or unreadable
        if self._ended.done():  # The task that waited was cancelled.
            return
        if error is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(error)
