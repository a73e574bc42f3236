"""What workloads ask, and what they make of the answers."""

import asyncio
from pathlib import Path

import pytest

from benchmarks.comparison.answers import Prompts, UnusableError
from benchmarks.comparison.models import ModelFile
from benchmarks.comparison.peers import COLUMNS, Server
from benchmarks.comparison.workloads import (
    FORMS,
    TRIAL,
    Target,
    full_store,
    long_prompt,
    one_prefix,
    streams,
    table,
    turns,
)
from tests.benchmarks.comparison.scripted_client import ScriptedClient

MODEL = ModelFile("m", "M", Path("m.gguf"), slots=2, cells=16384, context=4096)


def target(client: ScriptedClient) -> Target:
    return Target(Server(None, {"v1": client}), client, MODEL, Prompts(1), TRIAL)


async def test_streams_have_prompts_of_their_own() -> None:
    """No cache helps them."""
    client = ScriptedClient()
    figures = await streams(4)(target(client))
    assert len(set(client.prompts)) == 4
    assert figures["prompt_tokens"] == 32
    assert figures["rate"] > 0


async def test_a_long_prompt_comes_when_the_four_run() -> None:
    """It is asked last, and its gap and time are told beside those alone."""
    client = ScriptedClient()
    come = asyncio.Event()
    asked = 0

    async def before(prompt: str) -> None:
        nonlocal asked
        asked += len(prompt.split()) == TRIAL.long_prompt
        if asked == 2:
            come.set()

    client = ScriptedClient(before)
    figures = await long_prompt(target(client))
    assert come.is_set()
    assert [len(prompt.split()) for prompt in client.prompts] == [TRIAL.long_prompt, 16, 16, 16, 16, TRIAL.long_prompt]
    assert figures["slower"] == figures["beside"] / figures["alone"]
    assert figures["gap"] > 0


async def test_a_long_prompt_that_met_nobody_is_unusable() -> None:
    """Its time would be that alone."""
    asked = 0

    async def before(prompt: str) -> None:
        nonlocal asked
        asked += len(prompt.split()) == TRIAL.long_prompt
        if asked == 2:
            await asyncio.sleep(0.2)

    with pytest.raises(UnusableError, match="ended before"):
        await long_prompt(target(ScriptedClient(before)))


async def test_prompts_share_their_prefix() -> None:
    """And nothing else."""
    client = ScriptedClient()
    await one_prefix(target(client))
    words = [prompt.split() for prompt in client.prompts]
    assert len({tuple(each[: TRIAL.prefix]) for each in words}) == 1
    assert len({tuple(each[TRIAL.prefix :]) for each in words}) == 8


async def test_turns_repeat_what_was_said_before() -> None:
    """The server's answers too."""
    client = ScriptedClient()
    await turns(target(client))
    first, second = client.prompts[:8], client.prompts[8:]
    assert all(later.startswith(f"{earlier} answer ") for earlier, later in zip(first, second, strict=True))


async def test_a_store_is_filled_between_its_two_measurements() -> None:
    """With as many tokens as the cache's part says."""
    client = ScriptedClient()
    figures = await full_store(target(client))
    filling = [prompt for prompt in client.prompts if len(prompt.split()) == 100]
    assert 100 * len(filling) >= TRIAL.filled * MODEL.cells > 100 * (len(filling) - 8)
    assert figures["kept_8"] == figures["full_8"] / figures["fresh_8"]


@pytest.mark.parametrize("form", FORMS)
def test_each_case_is_there_once(form: str) -> None:
    """By workload, model and name, which are its key in the results; its columns exist."""
    workloads = table(FORMS[form], is_long=form == "long")
    keys = [(work.name, work.model, case.name) for work in workloads for case in work.cases]
    assert len(keys) == len(set(keys))
    assert {column for work in workloads for column in work.columns} <= COLUMNS.keys()
