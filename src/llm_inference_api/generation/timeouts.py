"""How long requests may take, and how long streams may be silent."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from llm_inference_api.errors import DeadlineError
from llm_inference_api.rpc.call import Call


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The settings' times, in seconds."""

    default: float
    """Of requests without a deadline."""
    longest: float
    progress_interval: float
    """Between two messages of a stream that has no text yet."""

    @asynccontextmanager
    async def within(self, call: Call) -> AsyncGenerator[None]:
        """Raises DeadlineError when the block has taken too long. A caller's own deadline is gRPC's to enforce."""
        limit = self.longest if call.time_remaining() is not None else min(self.default, self.longest)
        try:
            async with asyncio.timeout(limit) as timer:
                yield
        except TimeoutError:
            if not timer.expired():
                raise
            problem = f"the request took longer than {limit:g} s, the service's limit; ask for fewer tokens"
            raise DeadlineError(problem) from None
