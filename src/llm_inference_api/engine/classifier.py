"""Computes how probable the labels of a model's head are for a text. Runs on the embedder's thread."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from llm_inference_api.errors import ContextLengthError, InvalidFieldError
from llm_inference_api.requests.classifying import Classes, Classify


class Head(Protocol):
    """Backend that computes the labels' probabilities."""

    def probabilities(self, tokens: Sequence[int], check: Callable[[], None]) -> tuple[float, ...]:
        """Returns the probability of each label.

        Calls `check` regularly; it may raise to stop the computation.
        """


@dataclass(frozen=True, slots=True)
class Classifier:
    """Classifies texts with one model."""

    tokenize: Callable[[str], Sequence[int]]
    head: Head
    context_length: int

    def answer(self, classify: Classify, check: Callable[[], None]) -> Classes:
        """Returns how probable the labels are; what `check`, which is called regularly, raises ends the computation.

        Raises:
            InvalidFieldError: The text is too long for the model.
            ComputationError: The probabilities cannot be computed.
        """
        tokens = self._tokens(*classify.text)
        return Classes(self.head.probabilities(tokens, check), len(tokens))

    def _tokens(self, field: str, text: object) -> Sequence[int]:
        try:
            tokens = self.tokenize(str(text))
        except ContextLengthError as error:
            raise self._too_long(field, f"at least {error.prompt_tokens}") from error
        if len(tokens) > self.context_length:
            raise self._too_long(field, str(len(tokens)))
        return tokens

    def _too_long(self, field: str, count: str) -> InvalidFieldError:
        limit = f"this model's maximum context length is {self.context_length} tokens"
        return InvalidFieldError(field, f"has {count} tokens, and {limit}; shorten the text")
