"""Tensors of a GGUF file, read apart from the loaded model, which gives none away."""

import ctypes
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from llm_inference_api.backends.llama.library import function
from llm_inference_api.errors import ModelFailedError


class _Parameters(ctypes.Structure):
    """gguf_init_params (gguf.h)."""

    _fields_ = (("no_alloc", ctypes.c_bool), ("context", ctypes.c_void_p))


_open = function("gguf_init_from_file", ctypes.c_void_p, ctypes.c_char_p, _Parameters)
_free = function("gguf_free", None, ctypes.c_void_p)
_find = function("gguf_find_tensor", ctypes.c_int64, ctypes.c_void_p, ctypes.c_char_p)
_start = function("gguf_get_data_offset", ctypes.c_size_t, ctypes.c_void_p)
_offset = function("gguf_get_tensor_offset", ctypes.c_size_t, ctypes.c_void_p, ctypes.c_int64)
_type = function("gguf_get_tensor_type", ctypes.c_int, ctypes.c_void_p, ctypes.c_int64)
_row_size = function("ggml_row_size", ctypes.c_size_t, ctypes.c_int, ctypes.c_int64)


class Tensors:
    """The tensors of one file."""

    def __init__(self, path: Path) -> None:
        """Raises ModelFailedError if the file cannot be read."""
        self._path = path
        self._file = _open(str(path).encode(), _Parameters(True, None))
        if not self._file:
            raise ModelFailedError(f"llama.cpp cannot read the header of {path.name}")

    def __del__(self) -> None:
        if self._file:
            _free(self._file)

    def __contains__(self, name: str) -> bool:
        return bool(_find(self._file, name.encode()) >= 0)

    def rows(self, name: str, rows: Sequence[int], width: int) -> npt.NDArray[np.float32]:
        """Returns rows of a matrix with so many columns, shape [rows, width]. The tensor must be in the file."""
        # Only models that rank need it, and its import takes a worker 40 ms.
        from gguf import GGMLQuantizationType  # noqa: PLC0415
        from gguf.quants import dequantize  # noqa: PLC0415

        tensor = _find(self._file, name.encode())
        kind = _type(self._file, tensor)
        size = int(_row_size(kind, width))
        offset = int(_start(self._file)) + int(_offset(self._file, tensor))
        data = np.memmap(self._path, np.uint8, "r", offset, (max(rows) + 1, size))
        return np.asarray(dequantize(data[list(rows)], GGMLQuantizationType(kind)), np.float32)
