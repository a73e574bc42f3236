"""Reads the header of a GGUF file: its metadata, and the sizes of its tensors.

It is parsed here rather than by a library: the server process must survive any file, and needs few values.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import struct
from collections.abc import Callable
from os import SEEK_END
from pathlib import Path
from typing import BinaryIO, TypeVar

from llm_inference_api.errors import ModelFailedError
from llm_inference_api.files import open_regular
from llm_inference_api.models.header_numbers import Value, number

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_LFS_POINTER = b"version https://git-lfs"
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9
_MAX_STRING = 64 << 20
_MAX_ITEMS = 1 << 24
_MAX_KEYS = 1 << 16
_MAX_TENSORS = 1 << 20
_MAX_DIMENSIONS = 4
"""GGML_MAX_DIMS (ggml.h)."""
_ALIGNMENT = 32
"""Bytes; that of files that do not say (general.alignment)."""
MAX_LAYERS = 512
"""LLAMA_MAX_LAYERS of llama.cpp (src/llama-hparams.h): arrays with a number for each layer are not longer."""

Result = TypeVar("Result")


def read_header(path: Path) -> dict[str, Value]:
    """Returns the metadata of a GGUF file, by key, without texts in arrays and arrays longer than `MAX_LAYERS`.

    Raises:
        ModelFailedError: The file cannot be read, is not GGUF, or its header is damaged; the text says which.
    """
    return _of_file(path, lambda file: _read(file)[0])


def read_tensor_sizes(path: Path) -> dict[str, int]:
    """Returns the bytes that each tensor of a GGUF file takes there, by name. Raises as `read_header`."""
    return _of_file(path, _tensor_sizes)


def _of_file(path: Path, read: Callable[[BinaryIO], Result]) -> Result:
    """Returns what `read` finds in the file after the version. Raises as `read_header`."""
    try:
        with open_regular(path) as file:
            if what := _foreign(file):
                raise ModelFailedError(f"{path.name} is {what}")
            return read(file)
    except OSError as error:
        raise ModelFailedError(f"{path.name} cannot be read: {error.strerror}") from error
    except (struct.error, UnicodeDecodeError, ValueError) as error:
        raise ModelFailedError(f"the header of {path.name} is damaged, or the file is cut off in it") from error


def _foreign(file: BinaryIO) -> str:
    """Returns what the file is instead of a GGUF file that can be read; empty if it is one. Reads the version."""
    begin = file.read(len(_LFS_POINTER))
    file.seek(len(_MAGIC))
    if not begin:
        return "an empty file"
    if begin == _LFS_POINTER:
        return "a Git LFS pointer: the model itself was not downloaded (git lfs pull)"
    if not begin.startswith(_MAGIC):
        return "not a GGUF file"
    (version,) = struct.unpack("<I", _exactly(file, 4))
    if 0 < version < 1 << 16:
        return "" if version in _VERSIONS else f"GGUF of version {version}; versions 2 and 3 can be read"
    return "GGUF of the other byte order"


def _read(file: BinaryIO) -> tuple[dict[str, Value], int]:
    """Reads what follows the version: the metadata, and the number of tensors."""
    tensors, keys = struct.unpack("<QQ", _exactly(file, 16))
    if keys > _MAX_KEYS:
        raise ValueError
    header: dict[str, Value] = {}
    for _ in range(keys):
        key = _string(file)
        value = _value(file, struct.unpack("<I", _exactly(file, 4))[0])
        if value is not None:
            header[key] = value
    return header, tensors


def _tensor_sizes(file: BinaryIO) -> dict[str, int]:
    """Reads what follows the version, and tells the sizes from where the tensors begin, whatever their types are."""
    header, tensors = _read(file)
    if tensors > _MAX_TENSORS:
        raise ValueError
    begins = {}
    for _ in range(tensors):
        name = _string(file)
        (dimensions,) = struct.unpack("<I", _exactly(file, 4))
        if dimensions > _MAX_DIMENSIONS:
            raise ValueError
        _exactly(file, 8 * dimensions + 4)
        (begins[name],) = struct.unpack("<Q", _exactly(file, 8))
    alignment = max(number(header, "general.alignment", _ALIGNMENT), 1)
    data = -(-file.tell() // alignment) * alignment
    sizes = {}
    end = max(file.seek(0, SEEK_END) - data, 0)
    for name in sorted(begins, key=begins.__getitem__, reverse=True):
        sizes[name] = max(end - begins[name], 0)
        end = begins[name]
    return sizes


def _value(file: BinaryIO, kind: int) -> Value | None:
    if kind in _SCALARS:
        form = _SCALARS[kind]
        scalar: Value = struct.unpack(form, _exactly(file, struct.calcsize(form)))[0]
        return scalar
    if kind == _STRING:
        return _string(file)
    if kind != _ARRAY:
        raise ValueError
    return _array(file)


def _array(file: BinaryIO) -> Value | None:
    """Returns an array of numbers, at most `MAX_LAYERS`; passes over others."""
    kind, items = struct.unpack("<IQ", _exactly(file, 12))
    if items > _MAX_ITEMS:
        raise ValueError
    if kind not in _SCALARS:
        for _ in range(items):
            _value(file, kind)
        return None
    form, size = _SCALARS[kind], struct.calcsize(_SCALARS[kind])
    if items > MAX_LAYERS:
        file.seek(items * size, 1)
        return None
    return tuple(struct.unpack(f"<{items}{form[1:]}", _exactly(file, items * size)))


def _string(file: BinaryIO) -> str:
    (length,) = struct.unpack("<Q", _exactly(file, 8))
    if length > _MAX_STRING:
        raise ValueError
    return _exactly(file, length).decode("utf-8", "replace")


def _exactly(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise ValueError
    return data
