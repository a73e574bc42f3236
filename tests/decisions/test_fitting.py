"""Temperatures of labelled answers, and measures of probabilities."""

import random

import pytest

from llm_inference_api.decisions.distribution import tempered
from llm_inference_api.decisions.fitting import MAX_TEMPERATURE, Labelled, cross_fitted, measures, temperature


def said(count: int, true_temperature: float) -> list[Labelled]:
    """Returns answers whose probabilities are right at this temperature."""
    chance = random.Random(5)
    found = []
    for _ in range(count):
        weights = [chance.random() for _ in range(3)]
        right = tuple(weight / sum(weights) for weight in weights)
        label = chance.choices(range(3), right)[0]
        found.append(Labelled(tempered(right, 1 / true_temperature), label))
    return found


@pytest.mark.parametrize("true_temperature", [0.5, 1.0, 3.0])
def test_temperature_is_that_of_the_answers(true_temperature: float) -> None:
    """What has been sharpened by 3 is flattened by 3."""
    assert temperature(said(1000, true_temperature)) == pytest.approx(true_temperature, rel=0.2)


def test_temperature_has_bounds() -> None:
    """Answers that are always right, or always wrong, have no best temperature."""
    assert temperature([Labelled((0.9, 0.1), 0)] * 9) == pytest.approx(1 / MAX_TEMPERATURE)
    assert temperature([Labelled((1.0, 0.0), 1)] * 9) == pytest.approx(MAX_TEMPERATURE)


def test_calibration_makes_new_answers_better() -> None:
    """The error falls on answers to which nothing was fitted; which option is best stays."""
    answers = said(500, 3.0)
    before, after = measures(answers), measures(cross_fitted(answers))
    assert after.accuracy == before.accuracy
    assert after.brier < before.brier
    assert after.calibration_error < before.calibration_error / 2


def test_answers_are_calibrated_by_others() -> None:
    """One wrong answer among right ones does not make its own probability lower."""
    answers = [Labelled((0.9, 0.1), 0)] * 4 + [Labelled((0.9, 0.1), 1)]
    assert cross_fitted(answers)[4].probabilities[0] > 0.9


def test_measures_of_known_answers() -> None:
    """Accuracy 3/4; Brier (3 · 0.08 + 1.28) / 4; 0.8 is said where 0.75 holds."""
    found = measures([Labelled((0.8, 0.2), 0)] * 3 + [Labelled((0.8, 0.2), 1)])
    assert found.accuracy == 0.75
    assert found.brier == pytest.approx(0.38)
    assert found.calibration_error == pytest.approx(0.05)
