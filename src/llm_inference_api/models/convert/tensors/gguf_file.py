"""Atomic writing of GGUF files (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md)."""

import fcntl
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import gguf
import numpy as np

from llm_inference_api.models.convert.families.rope import Metadata
from llm_inference_api.models.convert.tensors.plan import PlannedTensor

Progress = Callable[[int, int], None]
"""Called with the number of tensors that are done and the number of all."""

_SUFFIX = ".partial"

_VALUE_TYPES = {
    bool: gguf.GGUFValueType.BOOL,
    int: gguf.GGUFValueType.UINT32,
    float: gguf.GGUFValueType.FLOAT32,
    str: gguf.GGUFValueType.STRING,
}
"""GGUF's type for values of each Python type, alone and in lists; integers in lists are INT32, for they may be -1."""


@contextmanager
def atomic_output(output: Path) -> Iterator[Path]:
    """Yields a temporary path beside `output`, which is flushed to disk and renamed to it if the block succeeds.

    The temporary file is locked while its writer lives. This lets a later writer of the same output remove what a
    killed process left, but no file that is being written.

    Raises:
        OSError: The file cannot be created, flushed or renamed.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(output)
    temporary = output.with_name(f".{output.name}.{secrets.token_hex(8)}{_SUFFIX}")
    with temporary.open("xb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield temporary
            _flush_to_disk(temporary)
            temporary.replace(output)
            _flush_to_disk(output.parent)
        finally:
            temporary.unlink(missing_ok=True)


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_abandoned(output: Path) -> None:
    for path in output.parent.glob(f".{_escaped(output.name)}.*{_SUFFIX}"):
        with suppress(OSError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def _escaped(name: str) -> str:
    """Returns a glob pattern that matches the name alone."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)


def write_gguf(
    path: Path, architecture: str, metadata: Metadata, tensors: Sequence[PlannedTensor], progress: Progress
) -> None:
    """Writes header, metadata and tensors; one tensor is in memory at a time.

    Args:
        path: The file, which is overwritten.
        architecture: llama.cpp's name of the architecture (`general.architecture`).
        metadata: Values by their full key. Empty lists are left out, since GGUF cannot type them.
        tensors: In the order of the file.
        progress: Called before the first tensor and after each.

    Raises:
        ConversionError: Values of a tensor cannot be represented in its type.
        OSError: The file cannot be written.
    """
    writer = gguf.GGUFWriter(path, architecture)
    try:
        for key, value in metadata.items():
            _add(writer, key, value)
        for tensor in tensors:
            # Beside the ggml type, the numpy type only says that the shape counts values: with uint8 it counts bytes.
            writer.add_tensor_info(tensor.name, tensor.shape, np.dtype("<f4"), tensor.byte_count, tensor.kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        _write_tensors(writer, tensors, progress)
    finally:
        writer.close()


def _write_tensors(writer: gguf.GGUFWriter, tensors: Sequence[PlannedTensor], progress: Progress) -> None:
    progress(0, len(tensors))
    for done, tensor in enumerate(tensors, 1):
        writer.write_tensor_data(np.ascontiguousarray(tensor.load()))
        progress(done, len(tensors))


def _add(writer: gguf.GGUFWriter, key: str, value: object) -> None:
    if isinstance(value, list):
        if value:
            kind = gguf.GGUFValueType.INT32 if type(value[0]) is int else _VALUE_TYPES[type(value[0])]
            writer.add_key_value(key, value, gguf.GGUFValueType.ARRAY, sub_type=kind)
        return
    writer.add_key_value(key, value, _VALUE_TYPES[type(value)])
