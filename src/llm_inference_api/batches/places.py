"""`Places`: which caller's line is computed next."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


class Places:
    """A number of places, each for one line. A free one goes to a caller who has the fewest, in turn.

    So a caller with many batches delays another caller's first line by a single line.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._taken: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        """Lines by caller, in the order in which they came."""
        self._served: dict[str, int] = {}
        """When each caller who has a place, or waits for one, was last given one; counted in places."""
        self._count = 0

    @property
    def taken(self) -> int:
        """Number of places that are in use."""
        return self._taken.total()

    @asynccontextmanager
    async def one(self, caller: str) -> AsyncGenerator[None]:
        """Waits for a place, and holds it for the block."""
        await self._take(caller)
        try:
            yield
        finally:
            self._leave(caller)

    async def _take(self, caller: str) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(caller, deque()).append(turn)
        self._serve()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave(caller)  # It was given one while it was cancelled.
            else:
                self._forget(caller, turn)
            raise

    def _leave(self, caller: str) -> None:
        self._taken[caller] -= 1
        if not self._taken[caller]:
            del self._taken[caller]
        if caller not in self._waiting and caller not in self._taken:
            del self._served[caller]
        self._free += 1
        self._serve()

    def _serve(self) -> None:
        while self._free and self._waiting:
            caller = min(self._waiting, key=lambda name: (self._taken[name], self._served.get(name, 0)))
            turn = self._waiting[caller][0]
            turn.set_result(None)
            self._count += 1
            self._served[caller] = self._count
            self._free -= 1
            self._taken[caller] += 1
            self._forget(caller, turn)

    def _forget(self, caller: str, turn: asyncio.Future[None]) -> None:
        turns = self._waiting[caller]
        turns.remove(turn)
        if not turns:
            del self._waiting[caller]
