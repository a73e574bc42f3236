"""What is known of the RPC that is being served, for the log and the metrics."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import grpc
import grpc.aio

from llm_inference_api.errors import CallerLimitError, UnavailableError

_RETRY_AFTER = 1.0
"""Seconds after which a caller at the limit may come again."""


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
    """The caller's address."""
    trace: Trace | None = None
    started_at: float = field(default_factory=time.monotonic)
    code: str = "OK"
    """The status that the caller sees."""
    facts: dict[str, object] = field(default_factory=dict)
    """What else the log says of it, such as the model and the tokens."""
    caller: str = ""
    """Who calls: a key's name, a certificate's subject or the address."""

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
    """Counts the RPCs in flight. Refuses new ones of callers who have enough, and all once the service stops."""

    def __init__(self, limit_per_caller: int | None = None) -> None:
        self._in_flight: Counter[str] = Counter()
        self._limit = limit_per_caller
        self._closed = False
        self._empty = asyncio.Event()
        self._empty.set()

    @contextmanager
    def passage(self, caller: str) -> Iterator[None]:
        """Counts an RPC in, and out at its end. Raises UnavailableError or CallerLimitError where it is refused."""
        if self._closed:
            raise UnavailableError("DRAINING", "the service is stopping; try another replica, or again later")
        if self._limit is not None and self._in_flight[caller] >= self._limit:
            problem = f"{self._limit} of your requests are open, which is each caller's limit"
            raise CallerLimitError(problem, _RETRY_AFTER)
        self._in_flight[caller] += 1
        self._empty.clear()
        try:
            yield
        finally:
            self._leave(caller)

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

    def _leave(self, caller: str) -> None:
        self._in_flight[caller] -= 1
        if not self._in_flight[caller]:
            del self._in_flight[caller]
        if not self._in_flight:
            self._empty.set()
