"""Affine quantisation, with a scale and a zero point per group of inputs: weight = scale * (integer - zero)."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType, quant_shape_to_byte_shape

from llm_inference_api.models.convert.tensors.element_type import STORAGE, Array, Float32Array, from_float32

_BLOCK = 32
"""Values in a block of Q4_0, Q4_1 and Q8_0 (QK4_0, QK4_1, QK8_0 in ggml-common.h)."""
_ROWS_AT_ONCE = 256
"""Rows that are unpacked at once; a multiple of the number of integers in a word of any width."""

IntegerArray = npt.NDArray[np.int32]
IndexArray = npt.NDArray[np.intp]
ByteArray = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class AffineRows:
    """Some rows (outputs) of a packed matrix, unpacked."""

    integers: ByteArray
    """Of shape (rows, inputs)."""
    scales: Float32Array
    """Of shape (rows, groups)."""
    zeros: IntegerArray
    """Of shape (rows, groups)."""
    group_of: IndexArray
    """The group of each input."""

    @property
    def centred(self) -> IntegerArray:
        """The integers minus their zero points, of shape (rows, inputs)."""
        return self.integers.astype(np.int32) - self.zeros[:, self.group_of]

    def dequantised(self) -> Float32Array:
        """Returns the weights, of shape (rows, inputs)."""
        return self.centred.astype(np.float32) * self.scales[:, self.group_of]

    @property
    def block_groups(self) -> IndexArray:
        """The group of each block, where every block lies in one group."""
        return self.group_of[::_BLOCK]

    def as_blocks(self, kind: GGMLQuantizationType) -> ByteArray:
        """Returns the rows as blocks of Q4_0, Q4_1 or Q8_0, of shape (rows, bytes of a row).

        A block is the scale `d` as float16, for Q4_1 also the minimum `m`, then its integers (ggml-common.h).
        """
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


def _nibbles(blocks: ByteArray) -> ByteArray:
    """Returns two integers to a byte: the first half of a block in the low four bits, the second in the high four."""
    return blocks[..., : _BLOCK // 2] | (blocks[..., _BLOCK // 2 :] << np.uint8(4))


class AffineSource(ABC):
    """A packed matrix, a TensorSource. It is repacked as ggml blocks where these can hold it, else dequantised."""

    name: str
    """The layer's name, without ".weight"."""
    shape: tuple[int, int]
    """Outputs, inputs."""
    bits: int
    """Width of the integers."""

    def __init__(self, name: str, shape: tuple[int, int], bits: int, dense: GGMLQuantizationType) -> None:
        """Makes a source that is dequantised to `dense` where no block type can hold the matrix."""
        self.name = name
        self.shape = shape
        self.bits = bits
        self._dense = dense

    @abstractmethod
    def integers_of(self, start: int, end: int) -> ByteArray:
        """Returns the integers of the outputs from `start` to `end`, of shape (outputs, inputs)."""

    @abstractmethod
    def zeros_of(self, start: int, end: int) -> IntegerArray:
        """Returns the zero points of the outputs from `start` to `end`, of shape (outputs, groups)."""

    @abstractmethod
    def scales_of(self, start: int, end: int) -> Float32Array:
        """Returns the scales of the outputs from `start` to `end`, of shape (outputs, groups)."""

    @property
    @abstractmethod
    def group_of(self) -> IndexArray:
        """The group of each input."""

    @cached_property
    def kind(self) -> GGMLQuantizationType:
        """The ggml type that `read` returns: Q4_0, Q4_1 or Q8_0, or a type of floats."""
        lowest, highest = self._zero_range()
        if not self._groups_hold_blocks() or not self._fits_half(highest):
            return self._dense
        if self.bits == 8:
            return GGMLQuantizationType.Q8_0 if lowest == highest == 128 else self._dense
        # Q4_0 holds integers from -8 to 7 exactly; Q4_1 rounds scale * zero to float16.
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
        """Returns the matrix as `kind` stores it: blocks as uint8, or floats of shape (outputs, inputs).

        Raises:
            ConversionError: A weight is beyond the range of float16, where that is `kind`.
        """
        kind = self.kind
        width = self.shape if kind in STORAGE else quant_shape_to_byte_shape(self.shape, kind)
        result: Array = np.empty(width, STORAGE.get(kind, np.dtype(np.uint8)))
        group_of = self.group_of
        for start in range(0, self.shape[0], _ROWS_AT_ONCE):
            rows = self._rows(start, group_of)
            encoded = from_float32(rows.dequantised(), kind) if kind in STORAGE else rows.as_blocks(kind)
            result[start : start + _ROWS_AT_ONCE] = encoded
        return result


def unpacked(words: npt.NDArray[np.int32], bits: int, axis: int) -> ByteArray:
    """Returns the integers of `bits` bits in 32-bit words, lowest bits first.

    The result has the shape of `words` (two dimensions), but for `axis`, which is 32 / bits times as long.
    """
    shifts = np.arange(0, 32, bits, dtype=np.uint32)
    spread = (words.view(np.uint32)[..., None] >> shifts) & np.uint32(2**bits - 1)
    moved = np.moveaxis(spread, -1, axis + 1)
    shape = list(words.shape)
    shape[axis] *= len(shifts)
    return moved.reshape(shape).astype(np.uint8)


def even_groups(inputs: int, groups: int) -> IndexArray:
    """Returns the group of each input where groups are of equal size and contiguous."""
    return np.asarray(np.arange(inputs) // (inputs // groups), np.intp)
