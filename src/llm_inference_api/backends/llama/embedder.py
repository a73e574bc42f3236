"""Embeddings with llama.cpp, in a context separate from the engine's."""

import ctypes
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import llama_cpp.llama_cpp as C
import numpy as np

from llm_inference_api.backends.llama.backend import Batch, Model
from llm_inference_api.backends.llama.error_lines import first_error
from llm_inference_api.engine.backend import Row
from llm_inference_api.engine.embedder import AbandonedError, Vector
from llm_inference_api.engine.pooling import Pooling
from llm_inference_api.errors import ComputationError, ModelFailedError

CHUNK = 128
"""Rows per forward of a decoder: llama.cpp allocates scores of the vocabulary's size for each row.

Larger forwards, which only encoders make, may take minutes, so they call `check` while they run.
"""
_NO_CALLBACK = C.ggml_abort_callback()


class LlamaEmbedder:
    """Computes vectors; an `engine.embedder.Vectors`. The context is created by the first call.

    A decoder computes a text in chunks, so its rows are pooled here: llama.cpp only pools the rows of one forward. An
    encoder has bidirectional attention, so its text is computed in one forward and pooled by llama.cpp.
    """

    def __init__(self, model: Model, context_length: int, threads: int) -> None:
        self._model = model
        self._pooling = model.pooling
        self._length = context_length
        self._threads = threads
        self._rows = context_length if model.is_encoder else min(CHUNK, context_length)
        self._context: Any = None

    def vector(self, tokens: Sequence[int], check: Callable[[], None]) -> Vector:
        """See `Vectors.vector`.

        Raises:
            ModelFailedError: llama.cpp cannot create the context.
            ComputationError: A forward failed.
        """
        if self._context is None:
            self._open()
        if (memory := C.llama_get_memory(self._context)) is not None:
            C.llama_memory_clear(memory, False)
        if self._model.is_encoder:
            self._forward_whole(tokens, check)
            pooled = C.llama_get_embeddings_seq(self._context, 0)
            return self._read(pooled, self._model.embedding_length)
        return self._pool(tokens, check)

    def _pool(self, tokens: Sequence[int], check: Callable[[], None]) -> Vector:
        width = self._model.embedding_length
        total = np.zeros(width, np.float64)
        first = last = np.zeros(width, np.float32)
        for start in range(0, len(tokens), self._rows):
            check()
            chunk = tokens[start : start + self._rows]
            self._forward(chunk, start)
            rows = self._read(C.llama_get_embeddings(self._context), len(chunk) * width).reshape(len(chunk), width)
            total += rows.sum(axis=0, dtype=np.float64)
            first, last = (rows[0] if start == 0 else first), rows[-1]
        match self._pooling:
            case Pooling.CLS:
                return first
            case Pooling.LAST:
                return last
            case _:
                return (total / len(tokens)).astype(np.float32)

    def _forward_whole(self, tokens: Sequence[int], check: Callable[[], None]) -> None:
        """Computes a text in a single forward, and calls `check` regularly during a long one.

        `check` is called from llama.cpp's abort callback, which the CPU backend calls between the graph's operations.
        An AbandonedError is ignored: the forward runs to its end.
        """

        @C.ggml_abort_callback  # type: ignore[untyped-decorator]
        def stops(_: ctypes.c_void_p) -> bool:
            with suppress(AbandonedError):  # An aborted forward would be logged by llama.cpp as three errors.
                check()
            return False

        is_long = len(tokens) > CHUNK  # In a short forward, the hundreds of callbacks take longer than the forward.
        C.llama_set_abort_callback(self._context, stops if is_long else _NO_CALLBACK, None)
        self._forward(tokens, 0)

    def _forward(self, tokens: Sequence[int], start: int) -> None:
        batch = self._batch.fill([Row(token, start + at, 0, wants_scores=True) for at, token in enumerate(tokens)])
        if status := C.llama_decode(self._context, batch):
            raise ComputationError(f"llama.cpp could not compute {len(tokens)} rows (llama_decode: {status})")

    def _read(self, numbers: Any, count: int) -> Vector:
        """Returns a copy of a float array of llama.cpp, which is only valid until the next forward."""
        if not numbers:
            raise ComputationError("llama.cpp computed no embedding")
        return np.array(np.ctypeslib.as_array(numbers, (count,)), np.float32)

    def _open(self) -> None:
        params = C.llama_context_default_params()
        params.n_ctx = self._length
        params.n_batch = params.n_ubatch = self._rows
        params.n_seq_max = 1
        params.n_threads = params.n_threads_batch = self._threads
        params.embeddings = True
        params.pooling_type = self._pooling if self._model.is_encoder else C.LLAMA_POOLING_TYPE_NONE
        params.no_perf = True
        with first_error() as said:
            context = C.llama_init_from_model(self._model.handle, params)
        if not context:
            problem = f"llama.cpp cannot make a context of {self._length} tokens for embeddings"
            raise ModelFailedError(said.after(problem))
        self._context, self._batch = context, Batch(self._rows)
