"""Admission of RPCs: each caller has a limit, and a service that stops admits none."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from llm_inference_api.errors import CallerLimitError, UnavailableError

_RETRY_AFTER = 1.0
"""Seconds after which a caller at the limit may come again."""


class Admission:
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
