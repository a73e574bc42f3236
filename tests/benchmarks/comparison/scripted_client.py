"""A client whose answers follow a script."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from benchmarks.comparison.answers import Answer
from benchmarks.comparison.clients import OnText, ignore_text


class ScriptedClient:
    """Answers all words of a prompt back, a token each; what happens before that is the test's choice."""

    def __init__(self, before: Callable[[str], Awaitable[None]] | None = None) -> None:
        self.prompts: list[str] = []
        self._before = before

    async def ask(self, prompt: str, max_tokens: int, on_text: OnText = ignore_text) -> Answer:
        self.prompts.append(prompt)
        answer = Answer(time.perf_counter(), tokens=max_tokens, prompt_tokens=len(prompt.split()))
        if self._before:
            await self._before(prompt)
        for _ in range(max_tokens):
            answer.arrivals.append(time.perf_counter())
            on_text()
            await asyncio.sleep(0)
        answer.text, answer.ended = " answer", time.perf_counter()
        return answer

    async def health(self) -> None:
        """It is well."""

    async def close(self) -> None:
        """It holds nothing."""
