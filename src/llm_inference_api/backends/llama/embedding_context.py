"""A context of llama.cpp that computes vectors, separate from the engine's. It holds one text at a time."""

import ctypes
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import llama_cpp.llama_cpp as C
import numpy as np
import numpy.typing as npt

from llm_inference_api.backends.llama.backend import Batch, LlamaModel
from llm_inference_api.backends.llama.error_lines import first_error
from llm_inference_api.engine.backend import Row
from llm_inference_api.engine.embedder import AbandonedError, Vector
from llm_inference_api.errors import ComputationError, ModelFailedError

CHUNK = 128
"""Rows per forward of a decoder: llama.cpp allocates scores of the vocabulary's size for each row.

Larger forwards, which only encoders make, may take minutes, so they call `check` while they run.
"""
_NO_CALLBACK = C.ggml_abort_callback()


class EmbeddingContext:
    """A text's vectors. The context is created by the first call of `clear`."""

    def __init__(self, model: LlamaModel, length: int, threads: int, pooling: int) -> None:
        """Takes the context's length in tokens, and a value of `enum llama_pooling_type` (llama.h)."""
        self._model = model
        self._length = length
        self._threads = threads
        self._pooling = pooling
        self.rows = length if model.is_encoder else min(CHUNK, length)
        """Largest number of rows of a forward."""
        self._context: Any = None

    def clear(self) -> None:
        """Forgets the text. Raises ModelFailedError if llama.cpp cannot create the context."""
        if self._context is None:
            self._open()
        if (memory := C.llama_get_memory(self._context)) is not None:
            C.llama_memory_clear(memory, False)

    def forward_whole(
        self, tokens: Sequence[int], check: Callable[[], None], vectors: npt.NDArray[np.float32] | None = None
    ) -> None:
        """Computes a text in a single forward, and calls `check` regularly during a long one.

        `check` is called from llama.cpp's abort callback, which the CPU backend calls between the graph's operations.
        An AbandonedError is ignored: the forward runs to its end.

        Args:
            tokens: The text.
            check: May raise AbandonedError.
            vectors: What stands for the tokens' rows of the embedding table, shape [tokens, embedding length].
        """

        @C.ggml_abort_callback  # type: ignore[untyped-decorator]
        def stops(_: ctypes.c_void_p) -> bool:
            with suppress(AbandonedError):  # An aborted forward would be logged by llama.cpp as three errors.
                check()
            return False

        is_long = len(tokens) > CHUNK  # In a short forward, the hundreds of callbacks take longer than the forward.
        C.llama_set_abort_callback(self._context, stops if is_long else _NO_CALLBACK, None)
        self.forward(tokens, 0, vectors)

    def forward(self, tokens: Sequence[int], start: int, vectors: npt.NDArray[np.float32] | None = None) -> None:
        """Computes the tokens at the positions from `start` on. Raises ComputationError if it fails."""
        rows = [Row(token, start + at, 0, wants_scores=True) for at, token in enumerate(tokens)]
        if status := C.llama_decode(self._context, self._batch.fill(rows, vectors)):
            raise ComputationError(f"llama.cpp could not compute {len(tokens)} rows (llama_decode: {status})")

    def rows_of_forward(self, count: int) -> Vector:
        """Returns the vectors of the last forward's `count` tokens, shape [count, embedding length]."""
        width = self._model.embedding_length
        return self._read(C.llama_get_embeddings(self._context), count * width).reshape(count, width)

    def pooled(self, count: int) -> Vector:
        """Returns the first `count` numbers of what llama.cpp pooled in the last forward."""
        return self._read(C.llama_get_embeddings_seq(self._context, 0), count)

    def _read(self, numbers: Any, count: int) -> Vector:
        """Returns a copy of a float array of llama.cpp, which is only valid until the next forward."""
        if not numbers:
            raise ComputationError("llama.cpp computed no embedding")
        return np.array(np.ctypeslib.as_array(numbers, (count,)), np.float32)

    def _open(self) -> None:
        params = C.llama_context_default_params()
        params.n_ctx = self._length
        params.n_batch = params.n_ubatch = self.rows
        params.n_seq_max = 1
        params.n_threads = params.n_threads_batch = self._threads
        params.embeddings = True
        params.pooling_type = self._pooling
        params.no_perf = True
        with first_error() as said:
            context = C.llama_init_from_model(self._model.handle, params)
        if not context:
            problem = f"llama.cpp cannot make a context of {self._length} tokens for embeddings"
            raise ModelFailedError(said.after(problem))
        self._context, self._batch = context, Batch(self.rows)
