"""The scores of a llama.cpp context's last forward."""

import ctypes
from collections.abc import Sequence as Rows
from typing import Any

import numpy as np
import numpy.typing as npt

from llm_inference_api.backends.llama.library import function
from llm_inference_api.engine.backend import Row

_logits = function("llama_get_logits", ctypes.c_void_p, ctypes.c_void_p)
_context_length = function("llama_n_ctx_seq", ctypes.c_uint32, ctypes.c_void_p)
_synchronize = function("llama_synchronize", None, ctypes.c_void_p)


class Outputs:
    """Views of the scores, without a call of the library for each row: such a call lets go of the GIL."""

    def __init__(self, context: Any, vocabulary_size: int) -> None:
        self._context = context
        self._size = vocabulary_size
        self.window = int(_context_length(context))
        """Longest sequence in tokens."""
        self._rows: dict[int, int] = {}
        self._scores: npt.NDArray[np.float32] = np.empty((0, vocabulary_size), np.float32)

    def take(self, rows: Rows[Row]) -> None:
        """Waits for the forward of these rows; a GPU computes beside llama_decode, which returns before it is done."""
        _synchronize(self._context)
        wanted = [at for at, row in enumerate(rows) if row.wants_scores]
        # llama.cpp keeps the scores in the order of the rows that wanted some.
        self._rows = dict(zip(wanted, range(len(wanted)), strict=True))
        if wanted:
            array = (ctypes.c_float * (len(wanted) * self._size)).from_address(_logits(self._context))
            self._scores = np.ctypeslib.as_array(array).reshape(len(wanted), self._size)

    def row(self, row: int) -> npt.NDArray[np.float32]:
        """Returns a view of a row's scores, shape [vocabulary size], valid until the next forward."""
        scores: npt.NDArray[np.float32] = self._scores[self._rows[row]]
        return scores
