"""What is counted under overload."""

import asyncio

from benchmarks.comparison.answers import Answer, Prompts, RefusedError
from benchmarks.comparison.overload import Outcomes, overload
from tests.benchmarks.comparison.scripted_client import ScriptedClient


def outcomes() -> Outcomes:
    answers = [Answer(0.0, [1.0], 2.0, tokens=32), Answer(1.0, [2.0], 4.0, tokens=32)]
    return Outcomes(answers, refusals=[0.001, 0.003, 0.002], gave_up=4, failed=1, probes=[0.01, 0.02])


def test_what_is_answered_is_told_as_a_part_of_the_capacity() -> None:
    """64 tokens in 4 seconds are half of 32 a second."""
    assert outcomes().figures(32.0)["goodput"] == 0.5


def test_parts_are_of_all_requests() -> None:
    """Of ten, three were refused, four given up and one failed."""
    figures = outcomes().figures(32.0)
    assert (figures["refused"], figures["gave_up"], figures["failed"]) == (0.3, 0.4, 0.1)
    assert figures["refusal"] == 2.0


def test_a_server_that_refuses_nothing_has_no_time_of_refusals() -> None:
    """The table then says that there is none."""
    figures = Outcomes([], gave_up=2, probes=[0.01]).figures(32.0)
    assert figures["goodput"] == 0.0
    assert not {"refusal", "refusal_p99"} & figures.keys()


async def test_callers_beyond_the_capacity_are_refused_or_give_up() -> None:
    """Every request ends in one of the ways, and health is asked meanwhile."""
    asked = 0

    async def before(prompt: str) -> None:
        nonlocal asked
        asked += 1
        if asked <= 4:  # The capacity's: two callers with two each.
            await asyncio.sleep(0.01)
        elif asked % 2:
            raise RefusedError
        else:
            await asyncio.Event().wait()

    client = ScriptedClient(before)
    figures = await overload(client, Prompts(1), slots=2, seconds=0.1, patience=0.05)
    assert figures["capacity"] > 0
    assert figures["goodput"] == 0.0
    assert figures["refused"] + figures["gave_up"] == 1.0
    assert {"refusal", "refusal_p99", "health_p99"} <= figures.keys()
