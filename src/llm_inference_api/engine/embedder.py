"""Computes embeddings, one input after the other. Runs on a thread of its own."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from llm_inference_api.errors import ComputationError, ContextLengthError, InvalidFieldError, ServiceError
from llm_inference_api.requests.errand import Errand
from llm_inference_api.requests.inquiry import VECTOR_TYPE, Embed, Embedding, Embeddings

Vector = npt.NDArray[np.float32]


class AbandonedError(ServiceError):
    """The errand was cancelled by its caller."""

    reason = "ABANDONED"


class Vectors(Protocol):
    """Backend that computes an embedding vector."""

    def vector(self, tokens: Sequence[int], check: Callable[[], None]) -> Vector:
        """Returns the pooled, unnormalized vector of the tokens, shape [embedding length].

        Calls `check` regularly; it may raise to stop the computation.
        """


class Cuts(NamedTuple):
    """To which lengths a model's vectors may be cut; a model that was not trained for it says nothing by a part."""

    any: bool = False
    lengths: tuple[int, ...] = ()

    def check(self, dimensions: int, width: int) -> None:
        """Raises InvalidFieldError if vectors of this width may not be cut to so many components."""
        if dimensions > width:
            raise InvalidFieldError("dimensions", f"must be 1 to {width} for this model, not {dimensions}")
        if dimensions == width or self.any or dimensions in self.lengths:
            return
        if self.lengths:
            known = ", ".join(map(str, self.lengths))
            raise InvalidFieldError("dimensions", f"must be one of {known} for this model, not {dimensions}")
        problem = f"must be {width}: this model is not known to have been trained for less (LLM_MATRYOSHKA_MODELS)"
        raise InvalidFieldError("dimensions", problem)


UNCUT = Cuts()


@dataclass(frozen=True, slots=True)
class Embedder:
    """Computes embeddings with one model."""

    tokenize: Callable[[str], Sequence[int]]
    vectors: Vectors
    vocabulary_size: int
    context_length: int
    width: int
    """Number of components of the model's vectors."""
    cuts: Cuts = UNCUT

    def answer(self, embed: Embed, check: Callable[[], None]) -> Embeddings:
        """Returns the embeddings of the inputs, in order, normalized to unit length.

        Args:
            embed: The inputs; all are validated before the first is computed.
            check: Called regularly; what it raises ends the computation.

        Raises:
            InvalidFieldError: An input is empty, too long, or has an unknown token id, or more dimensions are asked for
                than there are.
            ComputationError: The vector cannot be normalized.
        """
        if embed.dimensions is not None:
            self.cuts.check(embed.dimensions, self.width)
        texts = []
        for item in embed.inputs:
            check()
            texts.append(self._tokens(*item))
        return tuple(self._embedding(tokens, embed.dimensions, check) for tokens in texts)

    def _tokens(self, field: str, content: str | tuple[int, ...]) -> Sequence[int]:
        tokens = self._tokenize(field, content) if isinstance(content, str) else self._known(field, content)
        if not tokens:
            raise InvalidFieldError(field, "has no tokens for this model; write at least one word")
        if len(tokens) > self.context_length:
            raise self._too_long(field, str(len(tokens)))
        return tokens

    def _tokenize(self, field: str, text: str) -> Sequence[int]:
        try:
            return self.tokenize(text)
        except ContextLengthError as error:
            raise self._too_long(field, f"at least {error.prompt_tokens}") from error

    def _known(self, field: str, tokens: tuple[int, ...]) -> tuple[int, ...]:
        for token in tokens:
            if not 0 <= token < self.vocabulary_size:
                problem = f"token {token} is not in the model's vocabulary of {self.vocabulary_size}"
                raise InvalidFieldError(field, problem)
        return tokens

    def _too_long(self, field: str, count: str) -> InvalidFieldError:
        limit = f"this model's maximum context length is {self.context_length} tokens"
        return InvalidFieldError(field, f"has {count} tokens, and {limit}; shorten the text")

    def _embedding(self, tokens: Sequence[int], dimensions: int | None, check: Callable[[], None]) -> Embedding:
        check()
        vector = self.vectors.vector(tokens, check)[:dimensions].astype(np.float64)
        length = float(np.linalg.norm(vector))
        if not np.isfinite(length) or not length:
            raise ComputationError("the model computed an embedding whose length is zero or not finite")
        return Embedding((vector / length).astype(VECTOR_TYPE).tobytes(), len(tokens))


class Errands:
    """FIFO of errands, the background's after all others; `check` detects abandoned ones. Thread-safe."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, Errand]] = deque()
        self._in_background: deque[tuple[int, Errand]] = deque()
        self._wanted: set[int] = set()
        self._changed = threading.Condition()

    def put(self, errand_id: int, errand: Errand) -> None:
        """Adds an errand."""
        is_background = isinstance(errand, Embed) and errand.is_background
        with self._changed:
            self._wanted.add(errand_id)
            (self._in_background if is_background else self._waiting).append((errand_id, errand))
            self._changed.notify()

    def get(self) -> tuple[int, Errand]:
        """Waits for and returns the next errand with its id."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._in_background)
            return (self._waiting or self._in_background).popleft()

    def forget(self, errand_id: int) -> None:
        """Removes an errand that was abandoned or answered."""
        with self._changed:
            self._wanted.discard(errand_id)

    def check(self, errand_id: int) -> None:
        """Raises AbandonedError if the errand was abandoned."""
        with self._changed:
            if errand_id not in self._wanted:
                raise AbandonedError
