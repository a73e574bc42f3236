"""Answers from scores."""

import math

import pytest

from llm_inference_api.decisions.answer import Decision, decisions
from llm_inference_api.decisions.question import Kind, Option, Question
from llm_inference_api.requests.events import Logprobs, TokenLogprob

TEAM = Question("questions[0]", Kind.CHOICE, "Which?", (Option("b"), Option("a")), "choice")
LEVELS = Question("questions[0]", Kind.SCORE, "How?", (Option("low"), Option("mid"), Option("high")), "levels")


def said(token: int, probability: float) -> Logprobs:
    return (TokenLogprob(token, b"", math.log(probability), ()),)


def test_probabilities_have_the_order_of_the_request() -> None:
    """Scores come in the orders in which the options are shown: `a` and `b`, then `b` and `a`."""
    (decision,) = decisions([TEAM], 2, [said(1, 0.1), said(2, 0.3), said(2, 0.15), said(1, 0.05)])
    assert decision.probabilities == pytest.approx((0.75, 0.25))
    assert decision.coverage == pytest.approx(0.3)


def test_best_of_equal_options_does_not_depend_on_their_order() -> None:
    """The value decides."""
    assert Decision(TEAM, (0.5, 0.5), 1.0).best == 1


def test_score_is_the_mean_level() -> None:
    """The lowest level is 0."""
    assert Decision(LEVELS, (0.1, 0.1, 0.8), 1.0).score == pytest.approx(1.7)


@pytest.mark.parametrize(("probabilities", "confidence"), [((1.0, 0.0), 1.0), ((0.5, 0.5), 0.0)])
def test_confidence_says_how_concentrated_the_probabilities_are(
    probabilities: tuple[float, ...], confidence: float
) -> None:
    """From 0, all equal, to 1, one has all."""
    assert Decision(TEAM, probabilities, 1.0).confidence == pytest.approx(confidence)
