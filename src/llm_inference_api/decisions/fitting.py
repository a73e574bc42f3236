"""Fits temperatures to labelled answers, and measures how good the probabilities are.

Source: Guo et al., "On Calibration of Modern Neural Networks", 2017, for temperature scaling and the calibration error.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from llm_inference_api.decisions.distribution import tempered

MIN_EXAMPLES = 10
"""Labelled answers of a question that a temperature needs."""
MAX_TEMPERATURE = 10.0
"""The highest temperature that is fitted; the lowest is one divided by it."""
_LEAST = 1e-9
"""A smaller probability counts as this one: no single answer decides alone."""
_HALVINGS = 60
_FOLDS = 5
_BINS = 10


class Labelled(NamedTuple):
    """An answer of which is known what is right."""

    probabilities: tuple[float, ...]
    right: int
    """Index of the right option."""


class Measures(NamedTuple):
    """How good probabilities are."""

    accuracy: float
    """How often the most probable option is right."""
    brier: float
    """Mean of the squared distances of all options' probabilities from 1, of the right one, and 0; 0 to 2."""
    calibration_error: float
    """Mean distance of the best option's probability from how often it is right, in ten groups of equal width."""


def temperature(examples: Sequence[Labelled]) -> float:
    """Returns the temperature under which the right options have the highest likelihood."""
    logs = [([math.log(max(one, _LEAST)) for one in example.probabilities], example.right) for example in examples]

    def slope(inverse: float) -> float:
        """Returns the derivative of the negative log likelihood, which grows with the inverse temperature."""
        return math.fsum(_mean_log(log, inverse) - log[right] for log, right in logs)

    low, high = -math.log(MAX_TEMPERATURE), math.log(MAX_TEMPERATURE)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(math.exp(middle)) < 0 else (low, middle)
    return math.exp(-(low + high) / 2)


def _mean_log(logs: Sequence[float], inverse: float) -> float:
    best = max(logs)
    weights = [math.exp(inverse * (log - best)) for log in logs]
    return math.fsum(weight * log for weight, log in zip(weights, logs, strict=True)) / math.fsum(weights)


def cross_fitted(examples: Sequence[Labelled]) -> list[Labelled]:
    """Returns the examples calibrated, each by a temperature that was fitted to others: as new ones will be."""
    found: list[Labelled | None] = [None] * len(examples)
    for fold in range(_FOLDS):
        fitted = temperature([one for at, one in enumerate(examples) if at % _FOLDS != fold])
        for at in range(fold, len(examples), _FOLDS):
            found[at] = Labelled(tempered(examples[at].probabilities, fitted), examples[at].right)
    return [one for one in found if one is not None]


def measures(examples: Sequence[Labelled]) -> Measures:
    """Returns how good the examples' probabilities are."""
    count = len(examples)
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(_BINS)]
    for example in examples:
        best = max(example.probabilities)
        is_right = example.probabilities[example.right] == best
        bins[min(_BINS - 1, int(best * _BINS))].append((best, is_right))
    error = math.fsum(abs(math.fsum(best - is_right for best, is_right in one)) for one in bins) / count
    accuracy = sum(is_right for one in bins for _, is_right in one) / count
    return Measures(accuracy, math.fsum(map(_brier, examples)) / count, error)


def _brier(example: Labelled) -> float:
    return math.fsum((one - (at == example.right)) ** 2 for at, one in enumerate(example.probabilities))
