"""Time limits of requests and the progress interval of streams."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from llm_inference_api.errors import DeadlineError
from llm_inference_api.processes.running_time import running_time
from llm_inference_api.rpc.call import Call


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Time limits from the settings, in seconds."""

    default: float
    """Limit of requests whose caller sets no deadline."""
    longest: float
    """Limit of all requests."""
    progress_interval: float
    """Interval between progress messages of a stream that has no text to send."""

    @asynccontextmanager
    async def within(self, call: Call) -> AsyncGenerator[None]:
        """Limits the duration of the block, without pauses of this process. gRPC enforces the caller's own deadline.

        Raises:
            DeadlineError: The block exceeded the limit.
        """
        remaining = call.time_remaining()
        limit = self.longest if remaining is not None else min(self.default, self.longest)
        if call.is_background and remaining is not None:
            limit = remaining  # It may wait for others for as long as it has time.
        try:
            async with running_time().timeout(limit) as timer:
                yield
        except (TimeoutError, GeneratorExit):  # The latter where the handler waits for its reader.
            if not timer.expired():
                raise
            problem = f"the request took longer than {limit:g} s, the service's limit; ask for fewer tokens"
            raise DeadlineError(problem) from None
