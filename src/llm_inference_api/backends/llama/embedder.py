"""Embeddings with llama.cpp."""

from collections.abc import Callable, Sequence

import numpy as np

from llm_inference_api.backends.llama.backend import LlamaModel
from llm_inference_api.backends.llama.embedding_context import EmbeddingContext
from llm_inference_api.engine.embedder import Vector
from llm_inference_api.engine.pooling import Pooling


class LlamaEmbedder:
    """Computes vectors; an `engine.embedder.Vectors`.

    A decoder computes a text in chunks, so its rows are pooled here: llama.cpp only pools the rows of one forward. An
    encoder has bidirectional attention, so its text is computed in one forward and pooled by llama.cpp.
    """

    def __init__(self, model: LlamaModel, context_length: int, threads: int) -> None:
        self._model = model
        self._pooling = model.pooling
        pooling = model.pooling if model.is_encoder else Pooling.NONE
        self._context = EmbeddingContext(model, context_length, threads, pooling)

    def vector(self, tokens: Sequence[int], check: Callable[[], None]) -> Vector:
        """See `Vectors.vector`.

        Raises:
            ModelFailedError: llama.cpp cannot create the context.
            ComputationError: A forward failed.
        """
        self._context.clear()
        if self._model.is_encoder:
            self._context.forward_whole(tokens, check)
            return self._context.pooled(self._model.embedding_length)
        return self._pool(tokens, check)

    def _pool(self, tokens: Sequence[int], check: Callable[[], None]) -> Vector:
        width = self._model.embedding_length
        total = np.zeros(width, np.float64)
        first = last = np.zeros(width, np.float32)
        for start in range(0, len(tokens), self._context.rows):
            check()
            chunk = tokens[start : start + self._context.rows]
            self._context.forward(chunk, start)
            rows = self._context.rows_of_forward(len(chunk))
            total += rows.sum(axis=0, dtype=np.float64)
            first, last = (rows[0] if start == 0 else first), rows[-1]
        match self._pooling:
            case Pooling.CLS:
                return first
            case Pooling.LAST:
                return last
            case _:
                return (total / len(tokens)).astype(np.float32)
