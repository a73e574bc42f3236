"""A checkpoint directory in the layout of transformers: configuration, and tensors by name across all shards."""

from functools import cached_property
from pathlib import Path, PurePath
from typing import Protocol

import numpy as np
from gguf import GGMLQuantizationType

from llm_inference_api.models.convert.config import Config
from llm_inference_api.models.convert.errors import ConversionError
from llm_inference_api.models.convert.tensors.element_type import CHUNK_ELEMENTS, STORAGE, Array, to_float32
from llm_inference_api.models.convert.tensors.safetensors_file import SafetensorsFile, StoredTensor
from llm_inference_api.requests.reference import checkpoint_problem

_INDEX = "model.safetensors.index.json"

_KINDS = {
    "F32": GGMLQuantizationType.F32,
    "F16": GGMLQuantizationType.F16,
    "BF16": GGMLQuantizationType.BF16,
}


class TensorSource(Protocol):
    """A tensor to convert, whose values are read only when it is written."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The dimensions of the values, outermost first, whatever their encoding."""

    @property
    def kind(self) -> GGMLQuantizationType:
        """The ggml type that `read` returns."""

    def read(self) -> Array:
        """Returns the values as `kind` stores them: elements in `shape`, or rows of quantised blocks as uint8."""


def are_equal(left: TensorSource, right: TensorSource) -> bool:
    """Returns whether two tensors of floats have the same values; packed ones never have."""
    if left.shape != right.shape or not {left.kind, right.kind} <= STORAGE.keys():
        return False
    ours, theirs = left.read().reshape(-1), right.read().reshape(-1)
    parts = (slice(start, start + CHUNK_ELEMENTS) for start in range(0, ours.size, CHUNK_ELEMENTS))
    return all(
        np.array_equal(to_float32(ours[part], left.kind), to_float32(theirs[part], right.kind)) for part in parts
    )


class DenseSource:
    """A tensor that is not packed: of floats if it is a weight, of any type if it is a buffer that no rule reads."""

    def __init__(self, stored: StoredTensor) -> None:
        self._stored = stored
        self.shape = stored.shape

    @property
    def kind(self) -> GGMLQuantizationType:
        """The ggml type that `read` returns. Raises ConversionError where the values are no floats."""
        name, dtype = self._stored.name, self._stored.dtype
        if dtype not in _KINDS:
            raise ConversionError(f"tensor {name!r} is {dtype}; weights must be F32, F16 or BF16")
        return _KINDS[dtype]

    def read(self) -> Array:
        """Returns the values in `shape`, as a read-only view of the file; bfloat16 as its bits in uint16."""
        return self._stored.view


class Checkpoint:
    """A directory with config.json and one or more safetensors files.

    Raises ConversionError where the directory or its config.json is missing or malformed.
    """

    directory: Path
    config: Config
    """The content of config.json."""

    def __init__(self, directory: Path) -> None:
        if not directory.is_dir():
            raise ConversionError(f"{directory.name}: must be a directory with a checkpoint")
        problem = checkpoint_problem(directory)
        if problem is not None:
            raise ConversionError(f"{directory.name}: {problem}")
        self.directory = directory
        self.config = Config.read(directory / "config.json")

    @cached_property
    def stored(self) -> dict[str, StoredTensor]:
        """Every stored tensor by name; only headers are read.

        Raises ConversionError for a malformed shard, a tensor in two shards, and an index that the shards contradict.
        """
        stored: dict[str, StoredTensor] = {}
        for name in self.shard_names:
            for tensor in SafetensorsFile(self.directory / name).tensors.values():
                if tensor.name in stored:
                    raise ConversionError(f"{name}: tensor {tensor.name!r} is in another shard too")
                stored[tensor.name] = tensor
        self._check_index(stored)
        return stored

    @property
    def shard_names(self) -> list[str]:
        """The names of the safetensors files, sorted. Raises ConversionError where one is missing."""
        if (self.directory / _INDEX).is_file():
            names = sorted(set(self._weight_map.values()))
        elif (self.directory / "model.safetensors").is_file():
            names = ["model.safetensors"]
        else:
            names = self._single_file()
        missing = [name for name in names if not (self.directory / name).is_file()]
        if missing:
            raise ConversionError(f"{self.directory.name}: missing shard {', '.join(missing)}")
        return names

    @cached_property
    def _weight_map(self) -> dict[str, str]:
        """The index: the file name of each tensor's shard by the tensor's name."""
        entries = Config.read(self.directory / _INDEX).section("weight_map").values
        for tensor, shard in entries.items():
            if not isinstance(shard, str) or PurePath(shard).name != shard or not shard.endswith(".safetensors"):
                raise ConversionError(
                    f"{_INDEX}: {tensor!r} must be in a .safetensors file of the same directory, is in {shard!r}"
                )
        if not entries:
            raise ConversionError(f"{_INDEX}: 'weight_map' is missing")
        return dict(entries)

    def _single_file(self) -> list[str]:
        names = sorted(path.name for path in self.directory.glob("*.safetensors"))
        if len(names) != 1:
            found = ", ".join(names) or self._pickles() or "no .safetensors file"
            raise ConversionError(f"{self.directory.name}: needs model.safetensors or {_INDEX}, has {found}")
        return names

    def _pickles(self) -> str:
        """Returns the names of weights that are Python pickles, and what to do with them; empty without any."""
        names = sorted(path.name for kind in ("*.bin", "*.pt", "*.pth") for path in self.directory.glob(kind))
        return f"{', '.join(names)}, which may run code when read; save it as safetensors" if names else ""

    def _check_index(self, stored: dict[str, StoredTensor]) -> None:
        if (self.directory / _INDEX).is_file():
            absent = sorted(set(self._weight_map) - set(stored))
            if absent:
                raise ConversionError(
                    f"{self._weight_map[absent[0]]}: tensor {absent[0]!r} is missing, which {_INDEX} lists"
                )
