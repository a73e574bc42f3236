"""Runs what takes long beside the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from llm_inference_api.requests.events import Usage
from llm_inference_api.requests.request import GenerationRequest

_INLINE = 16 << 10
"""Bytes that are read, or written, on the event loop: that takes about a millisecond."""
_thread = ThreadPoolExecutor(1, "off-loop")
"""One thread, because the event loop waits for the GIL behind every thread that computes, up to 5 ms for each."""

_TOKEN_BYTES = 4
LOGPROB_BYTES = 32
"""About as much as one log probability has."""

Args = ParamSpec("Args")
Result = TypeVar("Result")


def written_size(request: GenerationRequest, usage: Usage) -> int:
    """Returns about how many bytes the answers have, log probabilities included."""
    entries = 0 if request.sampling.logprobs is None else 1 + request.sampling.logprobs
    return usage.completion_tokens * (_TOKEN_BYTES + LOGPROB_BYTES * entries)


async def off_loop(size: int, work: Callable[Args, Result], *args: Args.args, **kwargs: Args.kwargs) -> Result:
    """Returns `work(…)`, which runs in a thread if it reads or writes more than a few bytes.

    Each of its calls into C must be short by itself: it holds the GIL.

    Args:
        size: Bytes that it reads or writes.
        work: A function that does not use the event loop.
        args: Its arguments.
        kwargs: Its keyword arguments.
    """
    if size <= _INLINE:
        return work(*args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_thread, lambda: work(*args, **kwargs))
