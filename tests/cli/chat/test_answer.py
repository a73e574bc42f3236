"""Reading an answer's stream."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from llm_inference.v1 import inference_pb2
from llm_inference_api.cli.chat.answer import PartialAnswer, read_answer

Part = inference_pb2.ChatStreamResponse


class Seen:
    """A view that notes what it is to show."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    def wait(self, what: str) -> None:
        self.calls.append(("wait", what))

    def thought(self, text: str) -> None:
        self.calls.append(("thought", text))

    def text(self, text: str) -> None:
        self.calls.append(("text", text))

    def close(self) -> None:
        self.calls.append(("close", ""))


async def stream(*parts: Part, then: BaseException | None = None) -> AsyncGenerator[Any]:
    """Yields the messages, then fails where it is told to."""
    for part in parts:
        yield part
    if then is not None:
        raise then


async def test_waiting_thoughts_and_text_are_told_apart() -> None:
    """Each is shown as it comes."""
    seen, answer = Seen(), PartialAnswer()
    await read_answer(
        stream(
            Part(progress={"stage": "LOADING"}),
            Part(progress={"stage": "QUEUED", "requests_ahead": 2}),
            Part(progress={"stage": "PREFILL", "prompt_tokens": 4000, "computed_tokens": 512}),
            Part(delta={"reasoning_content": "hm"}),
            Part(delta={"content": "Yes"}),
            Part(finish_reason="LENGTH", usage={"prompt_tokens": 1, "completion_tokens": 2, "cached_tokens": 3}),
        ),
        answer,
        seen,
    )
    assert seen.calls == [
        ("wait", "the model is being loaded"),
        ("wait", "waiting for a free slot, behind 2 others"),
        ("wait", "reading: 512 of 4,000 tokens"),
        ("thought", "hm"),
        ("text", "Yes"),
        ("close", ""),
    ]
    assert (answer.text, answer.is_cut) == ("Yes", True)
    assert (answer.prompt_tokens, answer.tokens, answer.cached_tokens) == (1, 2, 3)


async def test_wait_for_the_model_shows_how_far_its_load_is() -> None:
    """A download takes minutes; the stream itself says no more than that it waits."""
    seen, answer, has_shown, asked = Seen(), PartialAnswer(), asyncio.Event(), []

    async def parts() -> AsyncGenerator[Any]:
        yield Part(progress={"stage": "LOADING"})
        await has_shown.wait()
        yield Part(progress={"stage": "LOADING"})
        yield Part(delta={"content": "Yes"})

    async def load() -> AsyncGenerator[str]:
        asked.append(True)
        yield "the model is downloading 43 %"
        has_shown.set()
        await asyncio.Event().wait()

    async with asyncio.timeout(20):
        await read_answer(parts(), answer, seen, load)
    assert ("wait", "the model is downloading 43 %") in seen.calls
    assert len(asked) == 1
    assert seen.calls[-2:] == [("text", "Yes"), ("close", "")]


async def test_load_that_cannot_be_followed_stops_no_answer() -> None:
    """An older service, or one that lets nobody watch."""
    seen, answer = Seen(), PartialAnswer()

    async def load() -> AsyncGenerator[str]:
        raise OSError
        yield ""

    await read_answer(stream(Part(progress={"stage": "LOADING"}), Part(delta={"content": "Yes"})), answer, seen, load)
    assert answer.text == "Yes"


async def test_what_came_before_a_failure_is_kept() -> None:
    """And the view is closed."""
    seen, answer = Seen(), PartialAnswer()
    with pytest.raises(OSError, match="gone"):
        await read_answer(stream(Part(delta={"content": "Once"}), then=OSError("gone")), answer, seen)
    assert answer.text == "Once"
    assert seen.calls[-1] == ("close", "")


@pytest.mark.parametrize(
    ("answer", "figures"),
    [
        (
            PartialAnswer(tokens=1011, first_after=0.25, seconds=10.35),
            "1,011 tokens in 10.3 s, the first after 0.25 s, 100.0 tokens/s",
        ),
        (PartialAnswer(tokens=1, first_after=0.5, seconds=0.5), "1 token in 0.5 s, the first after 0.50 s"),
        (PartialAnswer(), ""),
    ],
)
def test_figures_are_tokens_times_and_speed(answer: PartialAnswer, figures: str) -> None:
    """As far as they can be told."""
    assert answer.figures == figures


@pytest.mark.parametrize(
    ("answer", "speed"),
    [
        (PartialAnswer(tokens=11, first_after=1.0, seconds=3.0), 5.0),
        (PartialAnswer(tokens=1, first_after=1.0, seconds=1.0), None),
        (PartialAnswer(tokens=5, first_after=1.0, seconds=1.0), None),
        (PartialAnswer(), None),
    ],
)
def test_speed_counts_from_the_first_token(answer: PartialAnswer, speed: float | None) -> None:
    """The prompt's time is no part of it."""
    assert answer.tokens_per_second == speed
