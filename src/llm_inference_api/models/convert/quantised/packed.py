"""The stored parts of one packed layer: qweight, qzeros, scales, and for GPTQ g_idx."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gguf import GGMLQuantizationType

from llm_inference_api.models.convert.errors import ConversionError
from llm_inference_api.models.convert.tensors.safetensors_file import StoredTensor

_SCALE_KINDS = {
    "F32": GGMLQuantizationType.F32,
    "F16": GGMLQuantizationType.F16,
    "BF16": GGMLQuantizationType.BF16,
}


@dataclass(frozen=True, slots=True)
class PackedLayer:
    name: str
    stored: Mapping[str, StoredTensor]

    def part(self, name: str, dtype: str | None, dimensions: int) -> Any:
        tensor = self.stored.get(f"{self.name}.{name}")
        if tensor is None:
            raise ConversionError(f"tensor '{self.name}.{name}' is missing beside '{self.name}.qweight'")
        if (dtype is not None and tensor.dtype != dtype) or len(tensor.shape) != dimensions or 0 in tensor.shape:
            raise ConversionError(
                f"tensor '{self.name}.{name}' is {tensor.dtype} of shape {tensor.shape}; "
                f"must be {dtype or 'of floats'} in {dimensions} dimensions"
            )
        return tensor.read()

    def optional(self, name: str) -> Any:
        return self.part(name, "I32", 1) if f"{self.name}.{name}" in self.stored else None

    @property
    def dense_kind(self) -> GGMLQuantizationType:
        """The type of the scales, which is the type that the layer's own code computes weights in."""
        tensor = self.stored.get(f"{self.name}.scales")
        kind = _SCALE_KINDS.get(tensor.dtype) if tensor else None
        if kind is None:
            raise ConversionError(f"tensor '{self.name}.scales' must be there as F32, F16 or BF16")
        return kind


def packed_shape(layer: PackedLayer, name: str, wanted: tuple[int, ...]) -> None:
    shape = layer.stored[f"{layer.name}.{name}"].shape
    if shape != wanted:
        raise ConversionError(f"tensor '{layer.name}.{name}' has shape {shape}, qweight asks for {wanted}")
