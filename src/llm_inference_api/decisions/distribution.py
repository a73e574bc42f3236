"""A probability for each allowed answer, from the log probabilities of their tokens."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from llm_inference_api.requests.events import Logprobs


class Distribution(NamedTuple):
    """How probable the options of a question are."""

    probabilities: tuple[float, ...]
    """One for each option; they add up to 1."""
    coverage: float
    """The part of all the model's probability that lies on the options, 0 to 1."""


def distribution(scores: Sequence[Logprobs]) -> Distribution:
    """Returns the distribution over options of which each has these log probabilities of its tokens.

    Where an option begins with all tokens of another one, the shorter one's probability is that of its tokens without
    that of the longer one's: the model says the shorter one and does not go on to the longer one.
    """
    logs = _disjoint([tuple(token.token_id for token in one) for one in scores], [_log(one) for one in scores])
    best = max(logs)
    weights = [math.exp(log - best) for log in logs]
    total = math.fsum(weights)
    return Distribution(tuple(weight / total for weight in weights), min(1.0, math.exp(best) * total))


def mean(distributions: Sequence[Distribution]) -> Distribution:
    """Returns the mean of distributions over the same options."""
    count = len(distributions)
    columns = zip(*(one.probabilities for one in distributions), strict=True)
    coverage = math.fsum(one.coverage for one in distributions) / count
    return Distribution(tuple(math.fsum(column) / count for column in columns), coverage)


def tempered(probabilities: Sequence[float], temperature: float) -> tuple[float, ...]:
    """Returns the distribution whose logarithms are the given one's, divided by a temperature.

    Above 1 it is flatter. Source: temperature scaling, Guo et al., "On Calibration of Modern Neural Networks", 2017.
    """
    best = max(probabilities)
    weights = [(probability / best) ** (1.0 / temperature) for probability in probabilities]
    total = math.fsum(weights)
    return tuple(weight / total for weight in weights)


def _log(tokens: Logprobs) -> float:
    return math.fsum(token.logprob for token in tokens)


def _disjoint(tokens: Sequence[tuple[int, ...]], logs: Sequence[float]) -> list[float]:
    """Returns the log probabilities without those of longer options that begin with the same tokens."""
    order = sorted(range(len(tokens)), key=lambda index: tokens[index])
    left = list(logs)
    for place, shorter in enumerate(order):
        inner, last = 0.0, None
        for longer in order[place + 1 :]:
            if tokens[longer][: len(tokens[shorter])] != tokens[shorter]:
                break
            if last is None or tokens[longer][: len(last)] != last:
                last = tokens[longer]
                inner += math.exp(logs[longer] - logs[shorter])
        left[shorter] += math.log1p(-inner) if inner < 1.0 else -math.inf
    return left
