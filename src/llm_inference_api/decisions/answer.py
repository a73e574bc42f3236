"""Answers to typed questions."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from llm_inference_api.decisions.distribution import Distribution, distribution, mean, tempered
from llm_inference_api.decisions.question import Kind, Question
from llm_inference_api.requests.events import Logprobs


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to a question."""

    question: Question
    probabilities: tuple[float, ...]
    """One for each of the question's options, in their order."""
    coverage: float
    """See `Distribution.coverage`."""
    temperature: float | None = None
    """The temperature by which the probabilities are calibrated; None: they are the model's."""

    def calibrated(self, temperature: float) -> "Decision":
        """Returns the answer with the probabilities at a temperature."""
        return replace(self, probabilities=tempered(self.probabilities, temperature), temperature=temperature)

    @property
    def trust(self) -> dict[str, float]:
        """What an answer's JSON says of how far to trust it, besides its own fields: coverage, and the temperature."""
        calibrated = {} if self.temperature is None else {"temperature": self.temperature}
        return {"coverage": self.coverage, **calibrated}

    @property
    def best(self) -> int:
        """Index of the most probable option; of several, the one whose value comes first."""
        options, kind = self.question.options, self.question.kind
        in_order = (
            range(len(options)) if kind is Kind.SCORE else sorted(range(len(options)), key=lambda at: options[at])
        )
        return max(in_order, key=lambda index: self.probabilities[index])

    @property
    def confidence(self) -> float:
        """How concentrated the probabilities are: 0 where all are equal, 1 where one has all.

        1 minus their entropy, divided by that of equal ones.
        """
        if len(self.probabilities) == 1:
            return 1.0
        entropy = -math.fsum(one * math.log(one) for one in self.probabilities if one > 0.0)
        return min(1.0, max(0.0, 1.0 - entropy / math.log(len(self.probabilities))))

    @property
    def score(self) -> float:
        """Mean of the levels' numbers, the lowest of which is 0, weighted by their probabilities."""
        return math.fsum(level * one for level, one in enumerate(self.probabilities))


def decisions(questions: Sequence[Question], rotations: int, scores: Sequence[Logprobs]) -> list[Decision]:
    """Returns the answers to questions, from the scores of their `branches`."""
    left = iter(scores)
    return [_decision(question, rotations, left) for question in questions]


def _decision(question: Question, rotations: int, scores: Iterator[Logprobs]) -> Decision:
    found = []
    for order in question.orders(rotations):
        shown = distribution([next(scores) for _ in order])
        places = sorted(range(len(order)), key=lambda place: order[place])
        found.append(Distribution(tuple(shown.probabilities[place] for place in places), shown.coverage))
    probabilities, coverage = mean(found)
    return Decision(question, probabilities, coverage)
