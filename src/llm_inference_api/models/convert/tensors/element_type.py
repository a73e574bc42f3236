"""Element types of tensors, and the change from one to another in bounded memory."""

from collections.abc import Callable
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType

from llm_inference_api.models.convert.errors import ConversionError

Array = npt.NDArray[np.generic]
Float32Array = npt.NDArray[np.float32]

_CHUNK_ELEMENTS = 4 * 1024 * 1024


class Dtype(StrEnum):
    """The values of LLM_MODEL_DTYPE."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"

    @property
    def element_type(self) -> GGMLQuantizationType:
        return _ELEMENT_TYPES[self]


_ELEMENT_TYPES = {
    Dtype.FLOAT32: GGMLQuantizationType.F32,
    Dtype.FLOAT16: GGMLQuantizationType.F16,
    Dtype.BFLOAT16: GGMLQuantizationType.BF16,
}

# numpy has no bfloat16: its bits travel as uint16.
STORAGE: dict[GGMLQuantizationType, np.dtype[np.generic]] = {
    GGMLQuantizationType.F32: np.dtype("<f4"),
    GGMLQuantizationType.F16: np.dtype("<f2"),
    GGMLQuantizationType.BF16: np.dtype("<u2"),
}


def to_float32(values: Array, kind: GGMLQuantizationType) -> Float32Array:
    if kind is GGMLQuantizationType.BF16:
        return (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return values.astype(np.float32, copy=False)


def _to_bfloat16(values: Float32Array) -> Array:
    bits = values.view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    quiet_nan = (bits >> np.uint32(16)) | np.uint32(64)
    return np.where(np.isnan(values), quiet_nan, rounded).astype(np.uint16)


def _to_float16(values: Float32Array) -> Array:
    with np.errstate(over="ignore"):
        halves = values.astype(np.float16)
    if bool(np.any(np.isinf(halves) & np.isfinite(values))):
        raise ConversionError("holds values beyond ±65504, which float16 cannot hold; use bfloat16 or float32")
    return halves


def from_float32(values: Float32Array, kind: GGMLQuantizationType) -> Array:
    if kind is GGMLQuantizationType.BF16:
        return _to_bfloat16(values)
    return _to_float16(values) if kind is GGMLQuantizationType.F16 else values


def recode(
    values: Array,
    source: GGMLQuantizationType,
    target: GGMLQuantizationType,
    change: Callable[[Float32Array], Float32Array] | None = None,
) -> Array:
    """`values` as `target`, chunk by chunk: beside its result it needs a few chunks, no copy in float32."""
    if source == target and change is None:
        return values
    result = np.empty(values.shape, STORAGE[target])
    flat_in, flat_out = values.reshape(-1), result.reshape(-1)
    for start in range(0, flat_in.size, _CHUNK_ELEMENTS):
        chunk = to_float32(flat_in[start : start + _CHUNK_ELEMENTS], source)
        flat_out[start : start + _CHUNK_ELEMENTS] = from_float32(change(chunk) if change else chunk, target)
    return result
