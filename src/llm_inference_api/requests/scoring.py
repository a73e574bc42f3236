"""Scoring: log probabilities of given texts behind a prompt. Nothing is generated."""

from typing import NamedTuple

from llm_inference_api.errors import InvalidFieldError

MAX_CONTINUATIONS = 1_024
"""Maximum number of continuations of one prompt."""

Words = str | tuple[int, ...]
"""A text, or token ids."""


class Branch(NamedTuple):
    """What follows the prompt in one place: texts of which each stands instead of the others."""

    field: str
    """Name of the request's field, for error messages."""
    continuations: tuple[Words, ...]
    """The texts to score."""
    text: str = ""
    """Text between the prompt and each of the continuations, which is not scored. Of a chat it ends the last message,
    and the continuations begin the answer."""


class Scoring(NamedTuple):
    """What to score behind a request's prompt."""

    branches: tuple[Branch, ...]
    top: int = 0
    """Number of most probable tokens to list at each position."""
    opening: str = ""
    """Text that the answer to a chat begins with, before each continuation; it is not scored."""
    closes_thoughts: bool = False
    """Whether the answer to a chat begins behind its thoughts, without any."""


def check_continuations(field: str, count: int) -> None:
    """Raises InvalidFieldError if there are none or too many."""
    if not 1 <= count <= MAX_CONTINUATIONS:
        raise InvalidFieldError(field, f"must have 1 to {MAX_CONTINUATIONS} items, not {count}")
