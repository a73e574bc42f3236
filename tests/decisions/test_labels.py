"""Questions to a model whose head has labels."""

from dataclasses import replace

import pytest

from llm_inference_api.decisions.labels import by_labels, check_labels
from llm_inference_api.decisions.question import Kind, Option, Question
from llm_inference_api.errors import InvalidFieldError

MOOD = Question("questions[0]", Kind.CHOICE, "Which?", (Option("anger"), Option(" joy ")), "choice")
LABELS = ("joy", "anger", "neither")


def test_choice_of_some_labels_has_their_share() -> None:
    """What the head gives to the others is not covered."""
    found = by_labels(MOOD, {"joy": 0.6, "anger": 0.2, "neither": 0.2})
    assert found.probabilities == pytest.approx((0.25, 0.75))
    assert found.coverage == pytest.approx(0.8)


def test_labels_without_any_probability_are_alike() -> None:
    """Nothing is said of them."""
    assert by_labels(MOOD, {"joy": 0.0, "anger": 0.0, "neither": 1.0}).probabilities == (0.5, 0.5)


@pytest.mark.parametrize(
    ("question", "field"),
    [
        (replace(MOOD, kind=Kind.SCORE), "questions[0]"),
        (replace(MOOD, options=(Option("joy"), Option("fear"))), "questions[0].choice[1]"),
    ],
)
def test_what_is_no_choice_of_labels_is_refused_by_field(question: Question, field: str) -> None:
    """The error has the labels that there are."""
    check_labels([MOOD], LABELS)
    with pytest.raises(InvalidFieldError, match="joy, anger, neither") as caught:
        check_labels([MOOD, question], LABELS)
    assert caught.value.field == field
