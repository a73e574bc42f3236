"""Writing a GGUF file that exists under its name only when it is whole."""

import fcntl
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import gguf
import numpy as np

from llm_inference_api.models.convert.families.rope import Metadata
from llm_inference_api.models.convert.tensors.element_type import STORAGE
from llm_inference_api.models.convert.tensors.plan import PlannedTensor

Progress = Callable[[int, int], None]

_SUFFIX = ".partial"

_VALUE_TYPES = {
    bool: gguf.GGUFValueType.BOOL,
    int: gguf.GGUFValueType.UINT32,
    float: gguf.GGUFValueType.FLOAT32,
    str: gguf.GGUFValueType.STRING,
}


@contextmanager
def atomic_output(output: Path) -> Iterator[Path]:
    """A temporary path beside `output` that takes its name, flushed to disk, if the block succeeds.

    The writer holds a lock on its temporary file, so that a later one can tell a file in the making from the
    remains of a killed process, and removes only those.
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
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)


def write_gguf(
    path: Path, architecture: str, metadata: Metadata, tensors: Sequence[PlannedTensor], progress: Progress
) -> None:
    """Header, metadata and then one tensor after the other: only one of them is in memory at a time."""
    writer = gguf.GGUFWriter(path, architecture)
    try:
        for key, value in metadata.items():
            _add(writer, key, value)
        for tensor in tensors:
            storage = STORAGE.get(tensor.kind, np.dtype(np.float32))
            writer.add_tensor_info(tensor.name, tensor.shape, storage, tensor.byte_count, tensor.kind)
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
