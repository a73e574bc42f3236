"""A request's parts as a server receives them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from llm_inference_api.cluster.channel import Inbox


class Received(list[Any]):
    """What has come, to be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = asyncio.Event()

    def take(self, part: object) -> None:
        """Adds a part."""
        self.append(part)
        self._changed.set()

    async def until(self, count: int) -> list[Any]:
        """Returns all that has come, once that is so much."""
        async with asyncio.timeout(20):
            while len(self) < count:
                self._changed.clear()
                await self._changed.wait()
        return [*self]


@asynccontextmanager
async def opened_inbox() -> AsyncIterator[Inbox]:
    """Yields an inbox on the loopback."""
    inbox = Inbox("127.0.0.1")
    await inbox.start()
    try:
        yield inbox
    finally:
        await inbox.stop()
