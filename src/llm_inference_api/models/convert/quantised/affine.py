"""Integer weights with a scale and a zero point per group: weight = scale · (integer − zero)."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType, quant_shape_to_byte_shape

from llm_inference_api.models.convert.tensors.element_type import STORAGE, Array, Float32Array, from_float32

# Values in a block of Q4_0, Q4_1 and Q8_0 (ggml-common.h).
_BLOCK = 32
# A multiple of the integers in a word of any width.
_ROWS_AT_ONCE = 256

IntegerArray = npt.NDArray[np.int32]
IndexArray = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class AffineRows:
    """Some rows (outputs) of a matrix; `group_of` says which column of scales and zeros an input uses."""

    integers: npt.NDArray[np.uint8]
    scales: Float32Array
    zeros: IntegerArray
    group_of: IndexArray

    @property
    def centred(self) -> IntegerArray:
        return self.integers.astype(np.int32) - self.zeros[:, self.group_of]

    def dequantised(self) -> Float32Array:
        return self.centred.astype(np.float32) * self.scales[:, self.group_of]

    @property
    def block_groups(self) -> IndexArray:
        return self.group_of[::_BLOCK]

    def as_blocks(self, kind: GGMLQuantizationType) -> npt.NDArray[np.uint8]:
        """Rows of ggml blocks: little-endian halves d (and m), then the integers."""
        halves = [self.scales[:, self.block_groups]]
        if kind is GGMLQuantizationType.Q4_1:
            halves.append(-(self.scales * self.zeros)[:, self.block_groups])
            integers = self.integers
        elif kind is GGMLQuantizationType.Q4_0:
            integers = (self.centred + 8).astype(np.uint8)
        else:
            integers = self.centred.astype(np.int8).view(np.uint8)
        blocks = integers.reshape(len(integers), -1, _BLOCK)
        packed = blocks if kind is GGMLQuantizationType.Q8_0 else _nibbles(blocks)
        head = np.stack(halves, axis=-1).astype("<f2").view(np.uint8)
        return np.concatenate([head, packed], axis=-1).reshape(len(integers), -1)


def _nibbles(blocks: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The first half of a block in the low four bits, the second half in the high four."""
    return blocks[..., : _BLOCK // 2] | (blocks[..., _BLOCK // 2 :] << np.uint8(4))


class AffineSource(ABC):
    """A packed matrix; `kind` is the ggml type that holds it as it is, or `dense` where none does."""

    def __init__(self, name: str, shape: tuple[int, int], bits: int, dense: GGMLQuantizationType) -> None:
        self.name = name
        self.shape = shape
        self.bits = bits
        self._dense = dense

    @abstractmethod
    def integers_of(self, start: int, end: int) -> npt.NDArray[np.uint8]:
        """The integers of some outputs, a row for each."""

    @abstractmethod
    def zeros_of(self, start: int, end: int) -> IntegerArray:
        """The zero points of some outputs, a row for each, a column for each group."""

    @abstractmethod
    def scales_of(self, start: int, end: int) -> Float32Array: ...

    @property
    @abstractmethod
    def group_of(self) -> IndexArray: ...

    @cached_property
    def kind(self) -> GGMLQuantizationType:
        lowest, highest = self._zero_range()
        if not self._groups_hold_blocks() or not self._fits_half(highest):
            return self._dense
        if self.bits == 8:
            return GGMLQuantizationType.Q8_0 if lowest == highest == 128 else self._dense
        # Q4_0 holds integers from −8 to 7 exactly; Q4_1 rounds scale · zero to a half.
        exact = highest <= 8 and lowest >= 2**self.bits - 8
        return GGMLQuantizationType.Q4_0 if exact else GGMLQuantizationType.Q4_1

    def _zero_range(self) -> tuple[int, int]:
        zeros = self.zeros_of(0, self.shape[0])
        return int(zeros.min()), int(zeros.max())

    def _groups_hold_blocks(self) -> bool:
        groups = self.group_of
        if len(groups) % _BLOCK:
            return False
        blocks = groups.reshape(-1, _BLOCK)
        return bool(np.all(blocks == blocks[:, :1]))

    def _fits_half(self, highest_zero: int) -> bool:
        largest = float(np.abs(self.scales_of(0, self.shape[0])).max()) * max(1, highest_zero)
        return largest < float(np.finfo(np.float16).max)

    def _rows(self, start: int, group_of: IndexArray) -> AffineRows:
        end = min(start + _ROWS_AT_ONCE, self.shape[0])
        return AffineRows(self.integers_of(start, end), self.scales_of(start, end), self.zeros_of(start, end), group_of)

    def read(self) -> Array:
        kind = self.kind
        width = self.shape if kind in STORAGE else quant_shape_to_byte_shape(self.shape, kind)
        result: Array = np.empty(width, STORAGE.get(kind, np.dtype(np.uint8)))
        group_of = self.group_of
        for start in range(0, self.shape[0], _ROWS_AT_ONCE):
            rows = self._rows(start, group_of)
            encoded = from_float32(rows.dequantised(), kind) if kind in STORAGE else rows.as_blocks(kind)
            result[start : start + _ROWS_AT_ONCE] = encoded
        return result


def unpacked(words: npt.NDArray[np.int32], bits: int, axis: int) -> npt.NDArray[np.uint8]:
    """The integers of 32-bit words, lowest bits first, spread along `axis`."""
    shifts = np.arange(0, 32, bits, dtype=np.uint32)
    spread = (words.view(np.uint32)[..., None] >> shifts) & np.uint32(2**bits - 1)
    moved = np.moveaxis(spread, -1, axis + 1)
    shape = list(words.shape)
    shape[axis] *= len(shifts)
    return moved.reshape(shape).astype(np.uint8)


def even_groups(inputs: int, groups: int) -> IndexArray:
    """The group of each input where groups are neighbours."""
    return np.asarray(np.arange(inputs) // (inputs // groups), np.intp)
