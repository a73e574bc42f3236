"""Several answers to one request: as many requests to the model, whose cache computes their common prompt once."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from llm_inference_api.api.native.translation import seed_of
from llm_inference_api.models.registry import ServedModel
from llm_inference_api.requests.request import Delta, GenerationRequest, Progress, Usage

Item = Delta | Progress


async def answer(
    model: ServedModel, request: GenerationRequest, count: int, interval: float | None
) -> AsyncGenerator[Item]:
    """Yields the deltas of `count` answers as they come, each with its index; the last one has the usage of all.

    Yields where the request stands after `interval` seconds without text. Raises what ends one of the answers early;
    the others end with it.
    """
    several = _merged(model, _each(request, count), interval) if count > 1 else model.stream(request, interval)
    spent: list[Usage] = []
    async with aclosing(several) as items:
        async for item in items:
            if isinstance(item, Delta) and item.usage:
                spent.append(item.usage)
                yield item._replace(usage=_sum(spent) if len(spent) == count else None)
            else:
                yield item


def _each(request: GenerationRequest, count: int) -> list[GenerationRequest]:
    sampling = request.sampling
    return [
        replace(request, id=f"{request.id}-{index}", sampling=replace(sampling, seed=seed_of(sampling.seed, index)))
        for index in range(count)
    ]


def _sum(spent: list[Usage]) -> Usage:
    """Returns what all answers cost: the prompt once, whatever the cache has spared the further ones."""
    completion = sum(usage.completion_tokens for usage in spent)
    return Usage(spent[0].prompt_tokens, completion, min(usage.cached_tokens for usage in spent))


async def _merged(
    model: ServedModel, requests: list[GenerationRequest], interval: float | None
) -> AsyncGenerator[Item]:
    """Yields what the model has for each request, with the request's position as index."""
    # A slot for each: who reads late finds the deltas joined where they wait, not piled up here.
    arrived: asyncio.Queue[Item | BaseException | None] = asyncio.Queue(len(requests))
    tasks = [
        asyncio.create_task(_forward(model, request, index, interval, arrived))
        for index, request in enumerate(requests)
    ]
    try:
        left = len(tasks)
        while left:
            item = await arrived.get()
            if isinstance(item, BaseException):
                raise item
            if item is None:
                left -= 1
            else:
                yield item
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _forward(
    model: ServedModel,
    request: GenerationRequest,
    index: int,
    interval: float | None,
    arrived: asyncio.Queue[Item | BaseException | None],
) -> None:
    try:
        async with aclosing(model.stream(request, interval)) as items:
            async for item in items:
                await arrived.put(item._replace(answer=index) if isinstance(item, Delta) else item)
    except Exception as error:
        await arrived.put(error)
    else:
        await arrived.put(None)
