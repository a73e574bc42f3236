"""Ten times the requests that a server can answer: what it still answers, how it refuses, how its health answers."""

import asyncio
import statistics
import time
from contextlib import suppress
from dataclasses import dataclass, field

from benchmarks.comparison.answers import Answer, Prompts, RefusedError, UnusableError, percentile, rate
from benchmarks.comparison.clients import Client

FACTOR = 10
TOKENS = 32
_WORDS = 16
_ROUNDS = 2
"""Answers of each caller while the capacity is measured."""
_PROBE = 0.05
"""Seconds between two health checks."""


@dataclass
class Outcomes:
    """How the requests ended."""

    answers: list[Answer] = field(default_factory=list)
    refusals: list[float] = field(default_factory=list)
    """Seconds to each."""
    gave_up: int = 0
    failed: int = 0
    """Neither answered nor refused: cut off, or answered in part."""
    probes: list[float] = field(default_factory=list)
    """Seconds of each health check; those without an answer have all the seconds that were waited for."""

    @property
    def asked(self) -> int:
        """How many requests there were."""
        return len(self.answers) + len(self.refusals) + self.gave_up + self.failed

    def figures(self, capacity: float) -> dict[str, float]:
        """Returns the figures; those of refusals only if there were some."""
        found = {
            "capacity": capacity,
            "goodput": rate(self.answers) / capacity if self.answers else 0.0,
            "refused": len(self.refusals) / self.asked,
            "gave_up": self.gave_up / self.asked,
            "failed": self.failed / self.asked,
            "health_p99": 1000 * percentile(self.probes, 99),
        }
        if self.refusals:
            found["refusal"] = 1000 * statistics.median(self.refusals)
            found["refusal_p99"] = 1000 * percentile(self.refusals, 99)
        return found


async def overload(client: Client, prompts: Prompts, slots: int, seconds: float, patience: float) -> dict[str, float]:
    """Measures the capacity, then sends ten times as many requests for a time, evenly.

    Args:
        client: The server.
        prompts: Where prompts come from.
        slots: Answers that the server computes at once.
        seconds: How long requests are sent.
        patience: Seconds after which a caller gives up.

    Returns:
        The figures of workloads.py's rows. What is answered counts up to the last answer, after the last request.
    """
    capacity = await _capacity(client, prompts, slots)
    outcomes = Outcomes()
    every = TOKENS / capacity / FACTOR
    begun = time.perf_counter()
    probing = asyncio.create_task(_probe(client, patience, outcomes))
    async with asyncio.TaskGroup() as callers:
        for index in range(max(1, int(seconds / every))):
            await asyncio.sleep(max(0.0, begun + index * every - time.perf_counter()))
            callers.create_task(_call(client, prompts.words(_WORDS), patience, outcomes))
        await asyncio.sleep(max(0.0, begun + seconds - time.perf_counter()))
        probing.cancel()
    await asyncio.wait([probing])
    return outcomes.figures(capacity)


async def _capacity(client: Client, prompts: Prompts, slots: int) -> float:
    """Returns the tokens per second of as many callers as the server has room for."""

    async def caller() -> list[Answer]:
        return [await client.ask(prompts.words(_WORDS), TOKENS) for _ in range(_ROUNDS)]

    answers = await asyncio.gather(*(caller() for _ in range(slots)))
    return rate([answer for each in answers for answer in each])


async def _call(client: Client, prompt: str, patience: float, outcomes: Outcomes) -> None:
    started = time.perf_counter()
    try:
        async with asyncio.timeout(patience):
            outcomes.answers.append(await client.ask(prompt, TOKENS))
    except RefusedError:
        outcomes.refusals.append(time.perf_counter() - started)
    except UnusableError:
        outcomes.failed += 1
    except TimeoutError:
        outcomes.gave_up += 1


async def _probe(client: Client, patience: float, outcomes: Outcomes) -> None:
    """Asks for the health again and again; what has no answer when this ends counts as long as it has taken."""
    while True:
        started = time.perf_counter()
        try:
            with suppress(TimeoutError, OSError):
                async with asyncio.timeout(patience):
                    await client.health()
        finally:
            outcomes.probes.append(time.perf_counter() - started)
        await asyncio.sleep(_PROBE)
