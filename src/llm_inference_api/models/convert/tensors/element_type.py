"""Element types of tensors and conversion between them in bounded memory."""

from collections.abc import Callable
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType

from llm_inference_api.models.convert.errors import ConversionError

Array = npt.NDArray[np.generic]
"""Values of any type of STORAGE, or quantised blocks as bytes."""
Float32Array = npt.NDArray[np.float32]

CHUNK_ELEMENTS = 4 * 1024 * 1024
"""Elements that are converted at once, 16 MiB in float32."""


class Dtype(StrEnum):
    """The values of LLM_MODEL_DTYPE."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"

    @property
    def element_type(self) -> GGMLQuantizationType:
        """The ggml type of the same name."""
        return _ELEMENT_TYPES[self]


_ELEMENT_TYPES = {
    Dtype.FLOAT32: GGMLQuantizationType.F32,
    Dtype.FLOAT16: GGMLQuantizationType.F16,
    Dtype.BFLOAT16: GGMLQuantizationType.BF16,
}

STORAGE: dict[GGMLQuantizationType, np.dtype[np.generic]] = {
    GGMLQuantizationType.F32: np.dtype("<f4"),
    GGMLQuantizationType.F16: np.dtype("<f2"),
    GGMLQuantizationType.BF16: np.dtype("<u2"),
}
"""numpy's type for each unquantised ggml type; bfloat16, which numpy does not have, is held as its bits in uint16."""


def to_float32(values: Array, kind: GGMLQuantizationType) -> Float32Array:
    """Returns values of an unquantised type in float32, in the same shape; a view where they already are."""
    if kind is GGMLQuantizationType.BF16:
        return (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return values.astype(np.float32, copy=False)


def from_float32(values: Float32Array, kind: GGMLQuantizationType) -> Array:
    """Returns float32 values in an unquantised type, in the same shape, rounded to nearest even.

    Raises:
        ConversionError: A finite value exceeds the range of float16. The message lacks the tensor's name.
    """
    if kind is GGMLQuantizationType.BF16:
        return _to_bfloat16(values)
    return _to_float16(values) if kind is GGMLQuantizationType.F16 else values


def _to_bfloat16(values: Float32Array) -> Array:
    """Returns the upper half of each value's bits, rounded as ggml_compute_fp32_to_bf16 (ggml-impl.h) does."""
    bits = values.view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    quiet_nan = (bits >> np.uint32(16)) | np.uint32(64)
    return np.where(np.isnan(values), quiet_nan, rounded).astype(np.uint16)


def _to_float16(values: Float32Array) -> Array:
    with np.errstate(over="ignore"):
        halves = values.astype(np.float16)
    if bool(np.any(np.isinf(halves) & np.isfinite(values))):
        raise ConversionError("has values beyond ±65504, the range of float16; use bfloat16 or float32")
    return halves


def recode(
    values: Array,
    source: GGMLQuantizationType,
    target: GGMLQuantizationType,
    change: Callable[[Float32Array], Float32Array] | None = None,
) -> Array:
    """Returns values of one unquantised type in another, in the same shape.

    The conversion goes chunk by chunk, so that it needs no float32 copy of the whole tensor.

    Args:
        values: Elements of type `source`.
        source: Type of `values`.
        target: Type of the result.
        change: Applied to each chunk in float32, element by element.

    Raises:
        ConversionError: As `from_float32` does.
    """
    if source == target and change is None:
        return values
    result = np.empty(values.shape, STORAGE[target])
    flat_in, flat_out = values.reshape(-1), result.reshape(-1)
    for start in range(0, flat_in.size, CHUNK_ELEMENTS):
        chunk = to_float32(flat_in[start : start + CHUNK_ELEMENTS], source)
        flat_out[start : start + CHUNK_ELEMENTS] = from_float32(change(chunk) if change else chunk, target)
    return result
