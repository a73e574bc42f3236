"""Reading the stream of an answer."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, closing
from dataclasses import dataclass
from typing import Self

import click

from llm_inference_api.cli.chat.views import View
from llm_inference_api.cli.connection import Part, awaits_load, is_cut, text_of, thought_of, wait_of


@dataclass
class PartialAnswer:
    """An answer as far as it has come."""

    text: str = ""
    is_cut: bool = False
    """Whether it ended at max_tokens."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    tokens: int = 0
    """Tokens of the answer; 0 before its end."""
    first_after: float | None = None
    """Seconds from the request to the first token, thoughts included; None before it."""
    seconds: float = 0.0
    """Seconds from the request to the last token."""

    @property
    def tokens_per_second(self) -> float | None:
        """Speed from the first token to the last; None where it cannot be told."""
        if self.first_after is None or self.tokens < 2 or self.seconds <= self.first_after:
            return None
        return (self.tokens - 1) / (self.seconds - self.first_after)

    @property
    def figures(self) -> str:
        """How long it took, in a few words; empty before its end."""
        if self.first_after is None or not self.tokens:
            return ""
        speed = f", {self.tokens_per_second:.1f} tokens/s" if self.tokens_per_second else ""
        what = "1 token" if self.tokens == 1 else f"{self.tokens:,} tokens"
        return f"{what} in {self.seconds:.1f} s, the first after {self.first_after:.2f} s{speed}"


async def read_answer(
    parts: AsyncGenerator[Part], answer: PartialAnswer, view: View, load: Callable[[], AsyncIterator[str]] | None = None
) -> None:
    """Reads a stream into the answer, which has what came even where this fails or is cancelled, and shows it.

    Args:
        parts: The stream.
        answer: What is read.
        view: Shows it.
        load: Yields how far the load of the model is, in a few words; asked while the answer waits for that.

    Raises:
        llm_inference_client.ServiceError: The call failed.
    """
    begin = time.monotonic()
    async with aclosing(parts), _LoadShown(view, load) as shown:
        with closing(view):
            async for part in parts:
                _add(answer, part, time.monotonic() - begin)
                shown.follow(part)
                _show(view, part)


class _LoadShown:
    """Shows how far the load of a model is while an answer waits for it; what it cannot learn is not shown."""

    def __init__(self, view: View, load: Callable[[], AsyncIterator[str]] | None) -> None:
        self._view, self._load = view, load
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def follow(self, part: Part) -> None:
        """Begins to show it when the answer waits for it, and ends when it does no more."""
        if self._task is None and self._load is not None and awaits_load(part):
            self._task = asyncio.create_task(self._show(self._load()))
        elif self._task is not None and not awaits_load(part):
            self._task.cancel()

    async def _show(self, load: AsyncIterator[str]) -> None:
        async for words in load:
            self._view.wait(words)


def _add(answer: PartialAnswer, part: Part, seconds: float) -> None:
    text = text_of(part)
    answer.text += text
    answer.is_cut = answer.is_cut or is_cut(part)
    if text or thought_of(part) or part.HasField("finish_reason"):
        answer.first_after = seconds if answer.first_after is None else answer.first_after
        answer.seconds = seconds
    if part.HasField("usage"):
        answer.prompt_tokens, answer.cached_tokens = part.usage.prompt_tokens, part.usage.cached_tokens
        answer.tokens = part.usage.completion_tokens


def _show(view: View, part: Part) -> None:
    if wait := wait_of(part):
        view.wait(wait)
    if thought := thought_of(part):
        view.thought(thought)
    if text := text_of(part):
        view.text(text)


async def show_answer(parts: AsyncGenerator[Part], view: View) -> None:
    """Shows an answer while it streams; reports a cut at max_tokens on standard error.

    Raises:
        llm_inference_client.ServiceError: The call failed.
    """
    answer = PartialAnswer()
    await read_answer(parts, answer, view)
    if answer.is_cut:
        click.echo("[cut at max_tokens]", err=True)
