"""Log probabilities of given tokens, read while their sequences are computed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from llm_inference_api.engine.score_paths import ScorePaths
from llm_inference_api.requests.events import Logprobs, TokenLogprob, Usage


@dataclass(slots=True, eq=False)
class GivenTokens:
    """Tokens whose log probabilities one sequence reads."""

    wanted: Mapping[int, tuple[int, ...]]
    """The tokens by position of the row before them, in ascending order."""
    top: int = 0
    """Number of most probable tokens to list at each position."""
    found: dict[tuple[int, int], TokenLogprob] = field(default_factory=dict)
    """By position and token."""

    @property
    def first(self) -> int | None:
        """The first position whose row must be computed, so that no prefix is reused beyond it; None: there is none."""
        return next(iter(self.wanted), None)

    def of_prompt(self, first: int, text: bytes) -> Logprobs:
        """Returns the log probabilities of a whole prompt; empty if none are wanted.

        Args:
            first: The prompt's first token, whose log probability nobody knows.
            text: Its bytes.
        """
        if not self.found:
            return ()
        return (TokenLogprob(first, text, math.nan, ()), *(self.found[key] for key in sorted(self.found)))

    def count(self, start: int, rows: int) -> int:
        """Returns how many of the rows from a position on have scores that are read."""
        return sum(start <= position < start + rows for position in self.wanted)

    def fitting(self, start: int, rows: int, room: int) -> int:
        """Returns how many of the rows from a position on have no more than `room` scores that are read."""
        within = [position for position in self.wanted if start <= position < start + rows]
        return within[room] - start if len(within) > room else rows


class NoSampler:
    """The `engine.backend.Sampler` of a sequence that generates nothing."""

    def is_ready(self) -> bool:
        """Returns True."""
        return True

    def keep(self, row: int) -> None:
        """Keeps nothing."""

    def sample(self, row: int) -> int:
        """Is never called."""
        raise NotImplementedError

    def accept(self, token: int) -> bool:  # noqa: ARG002 - any
        """Takes any token."""
        return True

    def logprob(self, row: int, token: int, top: int) -> TokenLogprob:
        """Is never called."""
        raise NotImplementedError

    def close(self) -> None:
        """Frees nothing."""


@dataclass(slots=True, eq=False)
class ScoreBoard:
    """The scores of a request whose texts are computed as several sequences."""

    paths: ScorePaths
    given: list[GivenTokens]
    """One for each path."""
    left: int = field(init=False)
    """Number of paths that are not computed."""

    cached: int = 0
    """Number of tokens of the first path that were reused from the KV cache."""

    def __post_init__(self) -> None:
        self.left = len(self.paths)

    def ended(self, cached: int, *, is_first: bool) -> None:
        """Notes that a path is computed, and how many of its tokens were reused."""
        self.left -= 1
        if is_first:
            self.cached = cached

    @property
    def usage(self) -> Usage:
        """Token counts: all distinct tokens, and those that the first path reused."""
        return Usage(self.paths.size, 0, self.cached)

    def scores(self) -> tuple[Logprobs, ...]:
        """Returns the log probabilities of each text's scored tokens; all paths must be computed."""
        return tuple(
            tuple(self.given[path].found[position, token] for path, position, token in places)
            for places in self.paths.places
        )
