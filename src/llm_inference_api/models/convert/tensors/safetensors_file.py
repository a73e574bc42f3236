"""Reading of safetensors files as read-only views of a memory map.

A file is the length of its header in 8 bytes, the header in JSON, then the data
(https://huggingface.co/docs/safetensors). The `safetensors` package is not used because it cannot return bfloat16 as
numpy arrays.
"""

import json
import math
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llm_inference_api.models.convert.errors import ConversionError
from llm_inference_api.models.convert.tensors.element_type import Array

_MAX_HEADER_BYTES = 100_000_000
"""The limit of the reference implementation (MAX_HEADER_SIZE in safetensors/src/tensor.rs)."""

_NUMPY_TYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
"""numpy's type for each element type of the format; bfloat16 is read as its bits."""
_OTHER_BITS = {
    "F4": 4,
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    "U16": 16,
    "U32": 32,
    **dict.fromkeys(("U64", "C64"), 64),
}
"""Bits of the format's other element types, whose tensors are read as their bytes."""


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor of a file."""

    name: str
    dtype: str
    """The format's name of the element type, such as "BF16"."""
    shape: tuple[int, ...]
    view: Array
    """The values in `shape`, read-only, backed by the memory map; bfloat16 as its bits in uint16.

    Of a type that numpy does not have, the bytes in one dimension.
    """


class SafetensorsFile:
    """A memory-mapped file.

    Raises ConversionError where the file cannot be read, its header is malformed, or a tensor lies outside of it.
    """

    name: str
    """The file's name without its directory."""
    tensors: dict[str, StoredTensor]
    """All tensors by name."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._map = _mapped(path)
        header_bytes, header = self._header()
        self.tensors = {
            name: self._tensor(name, entry, 8 + header_bytes)
            for name, entry in header.items()
            if name != "__metadata__"
        }

    def _header(self) -> tuple[int, dict[str, Any]]:
        """Returns the header's length in bytes and its content."""
        length = int.from_bytes(self._map[:8], "little")
        if len(self._map) < 8 or length > min(_MAX_HEADER_BYTES, len(self._map) - 8):
            raise ConversionError(f"{self.name}: truncated, or not a safetensors file")
        try:
            header = json.loads(self._map[8 : 8 + length])
        except (ValueError, RecursionError) as error:
            raise ConversionError(f"{self.name}: the safetensors header is not valid JSON ({error})") from error
        if not isinstance(header, dict):
            raise ConversionError(f"{self.name}: the safetensors header must be a JSON object")
        return length, header

    def _tensor(self, name: str, entry: object, data_start: int) -> StoredTensor:
        dtype, shape, start, end = self._entry(name, entry)
        kind = _NUMPY_TYPES.get(dtype)
        if kind is None and dtype not in _OTHER_BITS:
            raise ConversionError(f"{self.name}: tensor {name!r} has the unknown type {dtype!r}")
        bits = kind.itemsize * 8 if kind else _OTHER_BITS[dtype]
        if (end - start) * 8 != math.prod(shape) * bits:
            raise ConversionError(
                f"{self.name}: tensor {name!r} of shape {shape} does not match its {end - start} bytes"
            )
        if data_start + end > len(self._map):
            raise ConversionError(f"{self.name}: truncated, tensor {name!r} ends after the file's end")
        if kind is None:
            return StoredTensor(name, dtype, shape, np.frombuffer(self._map, np.uint8, end - start, data_start + start))
        view = np.frombuffer(self._map, kind, math.prod(shape), data_start + start).reshape(shape)
        return StoredTensor(name, dtype, shape, view)

    def _entry(self, name: str, entry: object) -> tuple[str, tuple[int, ...], int, int]:
        """Returns element type, shape, and first and past-the-end byte in the data, all of them plausible."""
        try:
            assert isinstance(entry, dict)
            dtype, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
            assert isinstance(dtype, str)
            assert all(type(n) is int and 0 <= n < 2**40 for n in (*shape, start, end))
            assert start <= end
        except (AssertionError, KeyError, TypeError, ValueError) as error:
            raise ConversionError(f"{self.name}: the header entry of tensor {name!r} is malformed") from error
        return dtype, tuple(shape), start, end


def _mapped(path: Path) -> mmap.mmap:
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except ValueError as error:
        raise ConversionError(f"{path.name}: empty, not a safetensors file") from error
    except OSError as error:
        raise ConversionError(f"{path.name}: cannot be read ({error.strerror})") from error
