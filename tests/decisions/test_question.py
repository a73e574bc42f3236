"""What can be asked, and in which orders options are shown."""

from dataclasses import replace

import pytest

from llm_inference_api.decisions.question import Kind, Option, Question, check_questions
from llm_inference_api.errors import InvalidFieldError

TEAM = Question("questions[0]", Kind.CHOICE, "Which team?", (Option("b"), Option("a"), Option("c")), "choice", "team")


def values(question: Question, rotations: int) -> list[str]:
    return ["".join(question.options[index].value for index in order) for order in question.orders(rotations)]


def test_orders_do_not_depend_on_the_given_one() -> None:
    """The options of a permuted question are shown in the same orders."""
    permuted = replace(TEAM, options=TEAM.options[::-1])
    assert values(TEAM, 3) == values(permuted, 3) == ["abc", "bca", "cab"]


def test_orders_are_not_more_than_the_options() -> None:
    """More rotations than options would repeat some."""
    assert len(TEAM.orders(8)) == 3


def test_scale_is_shown_upwards_and_downwards() -> None:
    """A rotated scale would be none."""
    assert values(replace(TEAM, kind=Kind.SCORE), 5) == ["bac", "cab"]


def test_one_rotation_is_one_order() -> None:
    """Rotations can be switched off."""
    assert values(TEAM, 1) == ["abc"]


@pytest.mark.parametrize(
    ("questions", "field"),
    [
        ([], "questions"),
        ([TEAM] * 401, "questions"),
        ([replace(TEAM, instructions=" ")], "questions[0].instructions"),
        ([replace(TEAM, options=())], "questions[0].choice"),
        ([replace(TEAM, options=TEAM.options * 86)], "questions[0].choice"),
        ([replace(TEAM, options=(Option("a"), Option(" a")))], "questions[0].choice[1]"),
        ([replace(TEAM, options=(Option("a"), Option("")))], "questions[0].choice[1]"),
        ([TEAM, replace(TEAM, field="questions[1]")], "questions[1].name"),
        ([replace(TEAM, instructions="x" * (1 << 20))], "questions"),
        ([replace(TEAM, name="", options=tuple(Option(str(at)) for at in range(255)))] * 40, "questions"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_field(questions: list[Question], field: str) -> None:
    """Nothing is computed of a request with an impossible question."""
    with pytest.raises(InvalidFieldError) as caught:
        check_questions("questions", questions, 2)
    assert caught.value.field == field


@pytest.mark.parametrize("rotations", [0, 256])
def test_rotations_have_a_range(rotations: int) -> None:
    """One order at least, and no more than there may be options."""
    with pytest.raises(InvalidFieldError) as caught:
        check_questions("questions", [TEAM], rotations)
    assert caught.value.field == "rotations"
