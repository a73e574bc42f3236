"""What is known of the RPC that is being served, for the log and the metrics."""

import asyncio
import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import grpc
import grpc.aio

from llm_inference_api.errors import UnavailableError


class Trace(NamedTuple):
    """What the tracing systems call the RPC."""

    trace_id: str
    span_id: str | None = None
    """None where only the caller traces."""


@dataclass(slots=True)
class Call:
    """One RPC."""

    method: str
    request_id: str
    """What the caller, or Envoy, calls the request."""
    peer: str
    trace: Trace | None = None
    started_at: float = field(default_factory=time.monotonic)
    code: str = "OK"
    """The status that the caller sees."""
    facts: dict[str, object] = field(default_factory=dict)
    """What else the log says of it, such as the model and the tokens."""

    @property
    def identity(self) -> dict[str, object]:
        """What says in the log which RPC a line is about."""
        ids = self.trace._asdict() if self.trace else {}
        return {"request_id": self.request_id, **ids, "rpc.method": self.method}


current_call: ContextVar[Call] = ContextVar("current_call")
current_trace: ContextVar[Trace] = ContextVar("current_trace")


def ending_of(context: grpc.aio.ServicerContext[Any, Any]) -> grpc.StatusCode:
    """Returns the status that a caller sees whose RPC was cut off: by itself, or by its deadline."""
    left = context.time_remaining()
    late = left is not None and left <= 0
    return grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED


class Gate:
    """Counts the RPCs in flight, and refuses new ones once the service stops."""

    def __init__(self) -> None:
        self._in_flight = 0
        self._closed = False
        self._empty = asyncio.Event()
        self._empty.set()

    def enter(self) -> None:
        """Counts an RPC in. Raises UnavailableError where the gate is closed."""
        if self._closed:
            raise UnavailableError("DRAINING", "the service is stopping; try another replica, or again later")
        self._in_flight += 1
        self._empty.clear()

    def leave(self) -> None:
        """Counts an RPC out."""
        self._in_flight -= 1
        if not self._in_flight:
            self._empty.set()

    def close(self) -> None:
        """Refuses all further RPCs."""
        self._closed = True

    async def empty(self, timeout: float) -> bool:
        """Returns whether all RPCs have ended, as soon as they have, or after `timeout` seconds."""
        try:
            await asyncio.wait_for(self._empty.wait(), timeout)
        except TimeoutError:
            return False
        return True
