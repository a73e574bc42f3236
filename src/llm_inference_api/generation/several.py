"""`Several`: generations of several prompts, read as one."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from functools import reduce
from typing import Any, Protocol, Self

from llm_inference_api.generation.answers import Answer
from llm_inference_api.requests.events import End, Event, Times, Usage
from llm_inference_api.requests.model_status import ModelStatus
from llm_inference_api.requests.request import GenerationRequest

_AHEAD = 64
"""Events that are read from the models before their reader takes them."""


class One(Protocol):
    """The generation of one prompt."""

    def __aiter__(self) -> Self: ...

    async def __anext__(self) -> Event: ...

    async def whole(self) -> tuple[list[Answer], Usage]:
        """See `Generation.whole`."""


Open = Callable[[GenerationRequest], AbstractAsyncContextManager[One]]


class Several:
    """Async iterator over the events of several requests; their answers are numbered through.

    Only some requests are open at a time, so that one caller's prompts do not fill a model's queue. The first error of
    any of them ends all.
    """

    def __init__(
        self, requests: Sequence[GenerationRequest], status: Callable[[], ModelStatus], open_one: Open, at_once: int
    ) -> None:
        """Opens nothing yet.

        Args:
            requests: The requests, with the same number of answers each.
            status: Returns the status of the model that serves them.
            open_one: Opens the generation of one request.
            at_once: Maximum number of requests that are open at a time.
        """
        self.request = requests[0]
        """The first request; the others differ in the prompt and the id."""
        self._requests = requests
        self._status = status
        self._open = open_one
        self._free = asyncio.Semaphore(at_once)
        self._events: asyncio.Queue[Event | Exception] = asyncio.Queue(_AHEAD)
        self._tasks: list[asyncio.Task[Any]] = []
        self._ended: list[Usage] = []

    @property
    def status(self) -> ModelStatus:
        """Current status of the model that serves the requests."""
        return self._status()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """Returns the next event of any request. Raises the error that ends one of them early."""
        if not self._tasks:
            self._start(self._forward)
        if self._is_over:
            raise StopAsyncIteration
        event = await self._events.get()
        if isinstance(event, Exception):
            raise event
        if not isinstance(event, End) or event.usage is None:
            return event
        self._ended.append(event.usage)
        return event._replace(usage=_sum(self._ended) if self._is_over else None)

    async def whole(self) -> tuple[list[Answer], Usage]:
        """Waits for the ends and returns all answers and their total usage. Raises as iteration does."""
        self._start(self._whole)
        found = await asyncio.gather(*self._tasks)
        return [answer for answers, _ in found for answer in answers], _sum([usage for _, usage in found])

    async def close(self) -> None:
        """Ends the requests that are open."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def _is_over(self) -> bool:
        return len(self._ended) == len(self._requests)

    def _start(self, run: Callable[[int, GenerationRequest], Coroutine[Any, Any, Any]]) -> None:
        self._tasks = [asyncio.create_task(run(place, request)) for place, request in enumerate(self._requests)]

    async def _forward(self, place: int, request: GenerationRequest) -> None:
        try:
            async with self._free, self._open(request) as generation:
                async for event in generation:
                    await self._events.put(event._replace(answer=event.answer + place * request.n))
        except Exception as error:
            await self._events.put(error)

    async def _whole(self, place: int, request: GenerationRequest) -> tuple[list[Answer], Usage]:
        async with self._free, self._open(request) as generation:
            answers, usage = await generation.whole()
        for answer in answers:
            answer.index += place * request.n
        return answers, usage


def _sum(usages: Sequence[Usage]) -> Usage:
    """Returns the total usage of different prompts."""
    times = [usage.times for usage in usages if usage.times is not None]
    joined = reduce(Times.joined, times) if times else None
    return Usage(
        sum(usage.prompt_tokens for usage in usages),
        sum(usage.completion_tokens for usage in usages),
        sum(usage.cached_tokens for usage in usages),
        joined,
        sum(usage.reasoning_tokens for usage in usages),
    )
