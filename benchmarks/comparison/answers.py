"""One answer as its caller received it, and prompts that no cache has seen."""

import itertools
import random
import statistics
import string
from collections.abc import Sequence
from dataclasses import dataclass, field

_LETTERS_OF_A_WORD = 3
"""Each such word is one token of the random model."""


class RefusedError(Exception):
    """The server says that it has no room."""


class UnusableError(Exception):
    """An answer that is not what was asked for, so that its time means nothing."""


@dataclass
class Answer:
    """One streamed answer; times are those of time.perf_counter."""

    started: float
    arrivals: list[float] = field(default_factory=list)
    """The time of each event with text."""
    ended: float = 0.0
    text: str = ""
    tokens: int = 0
    has_its_length: bool = False
    """Whether the server said that the answer has as many tokens as it may have; for servers that give no number."""
    prompt_tokens: int = 0
    """0 where the server does not say it."""
    cached: int = 0
    """Prompt tokens that came from a cache; 0 where the server does not say it."""

    @property
    def first(self) -> float:
        """Seconds to the first text."""
        return self.arrivals[0] - self.started

    @property
    def pace(self) -> float:
        """Tokens per second behind the first text; 0 where all text came at once."""
        seconds = self.ended - self.arrivals[0]
        return (self.tokens - 1) / seconds if seconds > 0 else 0.0

    def gaps(self, begin: float, end: float) -> list[float]:
        """Returns the seconds between two texts that follow each other, of those that any part of the time lies in."""
        return [
            later - earlier for earlier, later in itertools.pairwise(self.arrivals) if later > begin and earlier < end
        ]

    def check(self, max_tokens: int) -> None:
        """Raises UnusableError unless the answer has this number of tokens, and text."""
        if self.tokens != max_tokens:
            raise UnusableError(f"{self.tokens} tokens instead of {max_tokens}")
        if not self.arrivals:
            raise UnusableError("no text")


class Prompts:
    """Prompts of random words, each another one, which depend on the seed alone."""

    def __init__(self, *seed: object) -> None:
        self._random = random.Random("/".join(map(str, seed)))

    def words(self, count: int) -> str:
        """Returns the next words."""
        letters = string.ascii_lowercase
        return " ".join("".join(self._random.choices(letters, k=_LETTERS_OF_A_WORD)) for _ in range(count))

    def take(self, prompts: int, words: int) -> list[str]:
        """Returns so many prompts."""
        return [self.words(words) for _ in range(prompts)]


def rate(answers: Sequence[Answer]) -> float:
    """Returns the tokens per second of answers together, from the first one's start to the last one's end."""
    wall = max(answer.ended for answer in answers) - min(answer.started for answer in answers)
    return sum(answer.tokens for answer in answers) / wall


def pace(answers: Sequence[Answer]) -> float:
    """Returns the tokens per second of answers together while they run: each one's own behind its first text."""
    return sum(answer.pace for answer in answers)


def percentile(values: Sequence[float], percent: int) -> float:
    """Returns a percentile of one value or more, within the range of them."""
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
