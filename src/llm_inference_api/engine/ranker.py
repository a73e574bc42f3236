"""Computes the relevance of documents to a query, one after the other. Runs on the embedder's thread."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from llm_inference_api.errors import ContextLengthError, InvalidFieldError
from llm_inference_api.requests.inquiry import Input
from llm_inference_api.requests.ranking import Rank, Relevance, Relevances
from llm_inference_api.text.pairs import Pair


class Scores(Protocol):
    """Backend that computes relevance."""

    def score(self, pair: Pair, check: Callable[[], None]) -> float:
        """Returns the relevance of the document to the query, from 0 to 1.

        Calls `check` regularly; it may raise to stop the computation.
        """


@dataclass(frozen=True, slots=True)
class Ranker:
    """Ranks documents with one model."""

    pair: Callable[[str, str], Pair]
    """Joins a query and a document; raises ContextLengthError for texts that are far too long."""
    scores: Scores
    context_length: int

    def answer(self, rank: Rank, check: Callable[[], None]) -> Relevances:
        """Returns the relevance of each document, in order.

        Args:
            rank: The query and the documents; all are tokenized before the first is computed.
            check: Called regularly; what it raises ends the computation.

        Raises:
            InvalidFieldError: A document with the query is too long for the model.
            ComputationError: A score cannot be computed.
        """
        pairs = []
        for document in rank.documents:
            check()
            pairs.append(self._pair(rank.query, document))
        return tuple(Relevance(self.scores.score(pair, check), len(pair.tokens)) for pair in pairs)

    def _pair(self, query: str, document: Input) -> Pair:
        try:
            pair = self.pair(query, str(document.content))
        except ContextLengthError as error:
            raise self._too_long(document.field, f"at least {error.prompt_tokens}") from error
        if len(pair.tokens) > self.context_length:
            raise self._too_long(document.field, str(len(pair.tokens)))
        return pair

    def _too_long(self, field: str, count: str) -> InvalidFieldError:
        limit = f"this model's maximum context length is {self.context_length} tokens"
        return InvalidFieldError(field, f"has {count} tokens with the query, and {limit}; shorten one of the texts")
