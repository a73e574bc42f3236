"""A plain quantiser for tests: rounds weights to a grid and packs them as GPTQ and AWQ checkpoints do.

It is written from the descriptions of the formats, independently of the code under test.
"""

from dataclasses import dataclass

import numpy as np

AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
"""The output in each nibble of a word (AutoAWQ's gemm layout)."""


@dataclass
class Quantised:
    """A quantised matrix."""

    integers: np.ndarray
    """Of shape (outputs, inputs)."""
    scales: np.ndarray
    """Of shape (outputs, groups), float16."""
    zeros: np.ndarray
    """Of shape (outputs, groups)."""
    group_of: np.ndarray
    """The group of each input."""

    @property
    def weight(self) -> np.ndarray:
        """The dequantised matrix in float32."""
        centred = self.integers.astype(np.int64) - self.zeros[:, self.group_of]
        return (centred * self.scales.astype(np.float64)[:, self.group_of]).astype(np.float32)


def quantise(
    weight: np.ndarray, bits: int, group: int, *, symmetric: bool, act_order: bool, seed: int = 1
) -> Quantised:
    outputs, inputs = weight.shape
    group = inputs if group == -1 else group
    group_of = np.arange(inputs) // group
    if act_order:
        group_of = np.random.RandomState(seed).permutation(group_of)
    levels = 2**bits - 1
    scales = np.zeros((outputs, inputs // group), np.float16)
    zeros = np.zeros((outputs, inputs // group), np.int64)
    for column in range(inputs // group):
        values = weight[:, group_of == column]
        low, high = np.minimum(values.min(1), 0), np.maximum(values.max(1), 0)
        if symmetric:
            high = np.maximum(-low, high)
            low = -high
        scales[:, column] = np.maximum((high - low) / levels, 1e-4)
        middle = 2 ** (bits - 1)
        zeros[:, column] = middle if symmetric else np.clip(np.round(-low / scales[:, column]), 1, levels)
    integers = np.round(weight / scales.astype(np.float32)[:, group_of]) + zeros[:, group_of]
    return Quantised(np.clip(integers, 0, levels).astype(np.int64), scales, zeros, group_of)


def _words(values: np.ndarray, bits: int, order: tuple[int, ...] | None = None) -> np.ndarray:
    """Returns rows of small integers packed to rows of 32-bit words, lowest bits first."""
    per_word = 32 // bits
    words = np.zeros((values.shape[0], values.shape[1] // per_word), np.uint32)
    for slot in range(per_word):
        column = order[slot] if order else slot
        words |= values[:, column::per_word].astype(np.uint32) << np.uint32(slot * bits)
    return words.view(np.int32)


def as_gptq(name: str, layer: Quantised, bits: int, *, version: int = 1) -> dict[str, np.ndarray]:
    stored_zeros = layer.zeros - (1 if version == 1 else 0)
    return {
        f"{name}.qweight": np.ascontiguousarray(_words(layer.integers, bits).T),
        f"{name}.qzeros": _words(np.ascontiguousarray(stored_zeros.T), bits),
        f"{name}.scales": np.ascontiguousarray(layer.scales.T),
        f"{name}.g_idx": layer.group_of.astype(np.int32),
    }


def as_awq(name: str, layer: Quantised) -> dict[str, np.ndarray]:
    return {
        f"{name}.qweight": _words(np.ascontiguousarray(layer.integers.T), 4, AWQ_ORDER),
        f"{name}.qzeros": _words(np.ascontiguousarray(layer.zeros.T), 4, AWQ_ORDER),
        f"{name}.scales": np.ascontiguousarray(layer.scales.T),
    }
