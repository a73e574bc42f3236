"""What is known of the RPC that is being served, for the log and the metrics."""

import asyncio
import time
from contextvars import ContextVar
from dataclasses import dataclass, field

from llm_inference_api.errors import UnavailableError


@dataclass(slots=True)
class Call:
    """One RPC."""

    method: str
    request_id: str
    """What the caller, or Envoy, calls the request."""
    peer: str
    started_at: float = field(default_factory=time.monotonic)
    code: str = "OK"
    """The status that the caller sees."""
    facts: dict[str, object] = field(default_factory=dict)
    """What else the log says of it, such as the model and the tokens."""


current_call: ContextVar[Call] = ContextVar("current_call")


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
