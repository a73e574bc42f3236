"""AWQ checkpoints (Lin et al. 2023) in AutoAWQ's gemm layout.

A layer's `qweight` has shape (inputs, outputs / 8), `qzeros` (groups, outputs / 8) and `scales` (groups, outputs).
Integers have 4 bits, and those of eight outputs share a word.
"""

import numpy as np
import numpy.typing as npt

from llm_inference_api.models.convert.config import Config
from llm_inference_api.models.convert.errors import ConversionError
from llm_inference_api.models.convert.quantised.affine import (
    AffineSource,
    ByteArray,
    IndexArray,
    IntegerArray,
    even_groups,
    unpacked,
)
from llm_inference_api.models.convert.quantised.packed import PackedLayer, check_shape
from llm_inference_api.models.convert.tensors.element_type import Float32Array, to_float32

_PER_WORD = 8
_NIBBLE_OF = np.array([0, 4, 1, 5, 2, 6, 3, 7])
"""The nibble of each output of a word; AutoAWQ packs them in the order 0 2 4 6 1 3 5 7 (awq/modules/linear/gemm.py)."""


class AwqSource(AffineSource):
    """A layer in the gemm layout. Raises ConversionError where a part is missing or of another shape."""

    def __init__(self, layer: PackedLayer) -> None:
        words = layer.part("qweight", "I32", 2)
        inputs, outputs = words.shape[0], words.shape[1] * _PER_WORD
        super().__init__(layer.name, (outputs, inputs), 4, layer.dense_kind)
        self._words = words
        self._scales = layer.part("scales", None, 2)
        self._scale_kind = layer.dense_kind
        self._zero_words = layer.part("qzeros", "I32", 2)
        groups = self._scales.shape[0]
        check_shape(layer, "scales", (groups, outputs))
        check_shape(layer, "qzeros", (groups, words.shape[1]))
        if groups == 0 or inputs % groups:
            raise ConversionError(f"tensor '{layer.name}.scales' has {groups} groups for {inputs} inputs")

    @property
    def group_of(self) -> IndexArray:
        """The group of each input."""
        return even_groups(self.shape[1], self._scales.shape[0])

    def integers_of(self, start: int, end: int) -> ByteArray:
        """Returns the integers of the outputs from `start` to `end`, of shape (outputs, inputs)."""
        return _rows_in_order(self._words, start, end)

    def zeros_of(self, start: int, end: int) -> IntegerArray:
        """Returns the zero points of the outputs from `start` to `end`, of shape (outputs, groups)."""
        return _rows_in_order(self._zero_words, start, end).astype(np.int32)

    def scales_of(self, start: int, end: int) -> Float32Array:
        """Returns the scales of the outputs from `start` to `end`, of shape (outputs, groups)."""
        return np.ascontiguousarray(to_float32(self._scales[:, start:end], self._scale_kind).T)


def _rows_in_order(words: npt.NDArray[np.int32], start: int, end: int) -> ByteArray:
    """Returns a row for each output from `start`, which must be the first of a word, to `end`."""
    nibbles = unpacked(np.ascontiguousarray(words[:, start // _PER_WORD : -(-end // _PER_WORD)]), 4, axis=1)
    ordered = nibbles.reshape(len(words), -1, _PER_WORD)[:, :, _NIBBLE_OF].reshape(len(words), -1)
    return np.ascontiguousarray(ordered[:, : end - start].T)


def awq_source(layer: PackedLayer, settings: Config) -> AwqSource:
    """Returns a layer of a checkpoint whose `quantization_config` is `settings`.

    Raises:
        ConversionError: The layout is not gemm, the width is not 4 bits, or the layer is malformed.
    """
    version = settings.text("version", "gemm")
    if version.lower() != "gemm":
        raise settings.error("version", "'gemm'", version)
    bits = settings.integer("bits", settings.integer("w_bit", 4))
    if bits != 4:
        raise settings.error("bits", "4", bits)
    return AwqSource(layer)
