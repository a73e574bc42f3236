"""Admission of RPCs: limit per caller, and refusal while the service drains."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from llm_inference_api.errors import CallerLimitError, UnavailableError

_RETRY_AFTER = 1.0
"""Retry delay for a caller at its limit, in seconds."""


class Admission:
    """Counts RPCs in flight. Refuses those above the limit per caller, and all once closed."""

    def __init__(self, limit_per_caller: int | None = None) -> None:
        self._in_flight: Counter[str] = Counter()
        self._limit = limit_per_caller
        self._closed = False
        self._empty = asyncio.Event()
        self._empty.set()

    @contextmanager
    def passage(self, caller: str) -> Iterator[None]:
        """Counts an RPC as in flight while the block runs.

        Raises:
            UnavailableError: Admission is closed.
            CallerLimitError: The caller has reached its limit.
        """
        if self._closed:
            raise UnavailableError("DRAINING", "the service is stopping; try another replica, or retry later")
        if self._limit is not None and self._in_flight[caller] >= self._limit:
            problem = f"{self._limit} of your requests are in flight, which is the limit per caller"
            raise CallerLimitError(problem, _RETRY_AFTER)
        self._in_flight[caller] += 1
        self._empty.clear()
        try:
            yield
        finally:
            self._leave(caller)

    @property
    def in_flight(self) -> int:
        """Number of RPCs in flight."""
        return self._in_flight.total()

    @property
    def is_closed(self) -> bool:
        """Whether new RPCs are refused."""
        return self._closed

    def close(self) -> None:
        """Refuses all new RPCs."""
        self._closed = True

    async def empty(self, timeout: float) -> bool:
        """Waits until no RPC is in flight, at most `timeout` seconds. Returns whether that is so."""
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
