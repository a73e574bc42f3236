"""Probabilities of options, by hand for a model of two tokens, each of which follows any text with 0.5."""

import math

import pytest

from llm_inference_api.decisions.distribution import Distribution, distribution, mean
from llm_inference_api.requests.events import Logprobs, TokenLogprob


def text(*tokens: int, probability: float = 0.5) -> Logprobs:
    """The log probabilities of a text whose tokens are equally probable."""
    return tuple(TokenLogprob(token, b"", math.log(probability), ()) for token in tokens)


def test_length_counts() -> None:
    """A text of two tokens is half as probable as another one of one token."""
    found = distribution([text(0), text(1, 0)])
    assert found.probabilities == pytest.approx((2 / 3, 1 / 3))
    assert found.coverage == pytest.approx(0.75)


def test_option_that_begins_another_one_has_what_is_left() -> None:
    """`0` is meant where the model says 0 and does not go on as `0 1`; what all options have is no more than 1."""
    found = distribution([text(0), text(0, 1), text(1)])
    assert found.probabilities == pytest.approx((0.25, 0.25, 0.5))
    assert found.coverage == pytest.approx(1.0)


def test_nested_options_are_taken_off_once() -> None:
    """Of `0`, `0 1` and `0 1 1` each has what the longer one leaves."""
    found = distribution([text(0), text(0, 1), text(0, 1, 1)])
    assert found.probabilities == pytest.approx((0.5, 0.25, 0.25))


def test_improbable_texts_have_a_distribution() -> None:
    """Probabilities that no float holds still have a ratio."""
    found = distribution([text(*[0] * 2000), text(*[1] * 2001)])
    assert found.probabilities == pytest.approx((2 / 3, 1 / 3))
    assert found.coverage == 0.0


def test_mean_is_that_of_each_number() -> None:
    """Orders of the options count alike."""
    assert mean([Distribution((0.2, 0.8), 0.5), Distribution((0.4, 0.6), 0.1)]) == Distribution(
        (pytest.approx(0.3), pytest.approx(0.7)), pytest.approx(0.3)
    )
