"""Typed questions: what is asked, and which answers are allowed."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.sizes import check_size

MAX_QUESTIONS = 400
MAX_OPTIONS = 255
MIN_OPTIONS = 2
MAX_SCORED = 20_000
"""Maximum number of options of a request, each counted once for each rotation."""
DEFAULT_ROTATIONS = 2


class Kind(Enum):
    """What is asked for."""

    PREDICATE = "predicate"
    """Whether something holds: the options are `yes` and `no`."""
    CHOICE = "choice"
    """One of several options, whose order means nothing."""
    SCORE = "score"
    """A level on a scale; the options go from the lowest to the highest."""


class Option(NamedTuple):
    """An allowed answer."""

    value: str
    """What the model would answer, word for word."""
    description: str = ""
    """When the answer is right; empty: the value says it."""


def yes_or_no(yes: str = "", no: str = "") -> tuple[Option, ...]:
    """Returns the options of a predicate, with when each is right; empty: as the instructions say."""
    return (Option("yes", yes), Option("no", no))


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a state."""

    field: str
    """Name of the request's field, for error messages."""
    kind: Kind
    instructions: str
    options: tuple[Option, ...]
    options_field: str
    """Name of the field below that has the options."""
    name: str = ""
    fewest: int = MIN_OPTIONS
    """The fewest options that may be given."""

    def orders(self, rotations: int) -> list[tuple[int, ...]]:
        """Returns the orders in which the options are shown, as indices; they do not depend on the given order.

        Those of a choice begin at different places of one ring; a scale is shown upwards and downwards.
        """
        count = len(self.options)
        if self.kind is Kind.SCORE:
            upwards = tuple(range(count))
            return [upwards, upwards[::-1]][:rotations]
        ring = tuple(sorted(range(count), key=lambda index: self.options[index].value))
        turns = min(rotations, count)
        starts = [turn * count // turns for turn in range(turns)]
        return [ring[start:] + ring[:start] for start in starts]


def check_questions(field: str, questions: Sequence[Question], rotations: int) -> None:
    """Raises InvalidFieldError for what cannot be asked; errors name the field of the question."""
    if not 1 <= len(questions) <= MAX_QUESTIONS:
        raise InvalidFieldError(field, f"must have 1 to {MAX_QUESTIONS} items, not {len(questions)}")
    if not 1 <= rotations <= MAX_OPTIONS:
        raise InvalidFieldError("rotations", f"must be from 1 to {MAX_OPTIONS}, not {rotations}")
    names: set[str] = set()
    for question in questions:
        _check(question)
        if question.name and question.name in names:
            raise InvalidFieldError(f"{question.field}.name", f"{question.name[:50]!r} is the name of another question")
        names.add(question.name)
    check_size(field, sum(map(_size, questions)))
    scored = sum(len(order) for question in questions for order in question.orders(rotations))
    if scored > MAX_SCORED:
        problem = f"have {scored} options, each counted once for each rotation; at most {MAX_SCORED} are allowed"
        raise InvalidFieldError(field, problem)


def _check(question: Question) -> None:
    if not question.instructions.strip():
        raise InvalidFieldError(f"{question.field}.instructions", "is empty; it is the question")
    count, field = len(question.options), f"{question.field}.{question.options_field}"
    if not question.fewest <= count <= MAX_OPTIONS:
        raise InvalidFieldError(field, f"must have {question.fewest} to {MAX_OPTIONS} options, not {count}")
    seen: set[str] = set()
    for index, option in enumerate(question.options):
        if not option.value.strip():
            raise InvalidFieldError(f"{field}[{index}]", "is empty")
        if option.value.strip() in seen:
            raise InvalidFieldError(f"{field}[{index}]", f"{option.value[:50]!r} is there twice")
        seen.add(option.value.strip())


def _size(question: Question) -> int:
    texts = (text for option in question.options for text in option)
    return len(question.instructions.encode()) + sum(len(text.encode()) for text in texts)
