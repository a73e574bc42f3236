"""The stored tensors of one packed layer."""

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
    """A layer whose weight is stored as qweight, qzeros, scales and, for GPTQ, g_idx."""

    name: str
    """The layer's name: that of its tensors without ".qweight" and so on."""
    stored: Mapping[str, StoredTensor]
    """All tensors of the checkpoint."""

    def part(self, name: str, dtype: str | None, dimensions: int) -> Any:
        """Returns the values of one of the layer's tensors, as a view of the file.

        Args:
            name: "qweight", "qzeros", "scales" or "g_idx".
            dtype: Element type in the terms of safetensors; None for any, which must then be one of floats.
            dimensions: Number of dimensions.

        Raises:
            ConversionError: The tensor is missing, empty, or of another type or number of dimensions.
        """
        tensor = self.stored.get(f"{self.name}.{name}")
        if tensor is None:
            raise ConversionError(f"tensor '{self.name}.{name}' is missing beside '{self.name}.qweight'")
        if (dtype is not None and tensor.dtype != dtype) or len(tensor.shape) != dimensions or 0 in tensor.shape:
            raise ConversionError(
                f"tensor '{self.name}.{name}' is {tensor.dtype} of shape {tensor.shape}; "
                f"must be {dtype or 'of floats'} with {dimensions} dimensions"
            )
        return tensor.view

    def optional(self, name: str) -> Any:
        """Returns the values of a one-dimensional I32 tensor, or None where the layer has none of that name.

        Raises:
            ConversionError: As `part` does.
        """
        return self.part(name, "I32", 1) if f"{self.name}.{name}" in self.stored else None

    @property
    def dense_kind(self) -> GGMLQuantizationType:
        """The type of the scales, in which the checkpoint's own code computes weights.

        Raises ConversionError where there are no scales of an unquantised type.
        """
        tensor = self.stored.get(f"{self.name}.scales")
        kind = _SCALE_KINDS.get(tensor.dtype) if tensor else None
        if kind is None:
            raise ConversionError(f"tensor '{self.name}.scales' is missing or not F32, F16 or BF16")
        return kind


def check_shape(layer: PackedLayer, name: str, wanted: tuple[int, ...]) -> None:
    """Raises ConversionError unless one of the layer's tensors has the shape that its qweight implies."""
    shape = layer.stored[f"{layer.name}.{name}"].shape
    if shape != wanted:
        raise ConversionError(f"tensor '{layer.name}.{name}' has shape {shape}, its qweight implies {wanted}")
