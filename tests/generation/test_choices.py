import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import pytest

from llm_inference_api.errors import OverloadedError
from llm_inference_api.generation.choices import answer
from llm_inference_api.requests.request import Delta, FinishReason, GenerationRequest, Progress, Sampling, Usage


@dataclass
class EchoModel:
    """Answers each request with its seed; requests whose seed is in `refused` find no room."""

    refused: set[int] = field(default_factory=set)
    open: set[str] = field(default_factory=set)
    ids: list[str] = field(default_factory=list)

    async def stream(self, request: GenerationRequest, interval: float | None) -> AsyncGenerator[Delta | Progress]:
        self.ids.append(request.id)
        self.open.add(request.id)
        try:
            if request.sampling.seed in self.refused:
                raise OverloadedError("full", 1.0)
            yield Delta(request.id, f"{request.sampling.seed} ")
            await asyncio.sleep(0)
            yield Delta(request.id, "end", (), FinishReason.STOP, Usage(10, 2, request.sampling.seed))
        finally:
            self.open.discard(request.id)


def ask(model: Any, count: int) -> AsyncGenerator[Delta | Progress]:
    return answer(model, GenerationRequest("a", "hi", Sampling(seed=4)), count, None)


async def test_one_answer_is_the_models_own() -> None:
    """A request for one answer is passed on as it is."""
    model = EchoModel()
    deltas = [item async for item in ask(model, 1)]
    assert model.ids == ["a"]
    assert [delta.answer for delta in deltas] == [0, 0]
    assert deltas[-1].usage == Usage(10, 2, 4)


async def test_several_answers_have_their_own_seeds_and_indices() -> None:
    """Each further answer has the next seed."""
    texts: dict[int, str] = {}
    async for delta in ask(EchoModel(), 3):
        texts[delta.answer] = texts.get(delta.answer, "") + delta.text
    assert texts == {0: "4 end", 1: "5 end", 2: "6 end"}


async def test_usage_counts_the_prompt_once() -> None:
    """Only the last delta has the usage: one prompt, all answers' tokens, and what the cache spared the first."""
    deltas = [delta async for delta in ask(EchoModel(), 3)]
    assert [delta.usage for delta in deltas if delta.usage] == [Usage(10, 6, 4)]
    assert deltas[-1].usage is not None
    assert sum(delta.finish_reason is FinishReason.STOP for delta in deltas) == 3


async def test_failure_of_one_ends_all() -> None:
    """Where one answer finds no room there is none at all, and nothing goes on being computed."""
    model = EchoModel(refused={5})
    with pytest.raises(OverloadedError):
        [_ async for _ in ask(model, 3)]
    assert model.open == set()


async def test_closing_early_ends_all() -> None:
    """Who stops reading cancels every answer."""
    model = EchoModel()
    items = ask(model, 3)
    await anext(items)
    await items.aclose()
    assert model.open == set()
