"""GPTQ checkpoints: integers packed along the inputs, zero points along the outputs."""

import numpy as np
import numpy.typing as npt

from llm_inference_api.models.convert.config import Config
from llm_inference_api.models.convert.errors import ConversionError
from llm_inference_api.models.convert.quantised.affine import (
    AffineSource,
    IndexArray,
    IntegerArray,
    even_groups,
    unpacked,
)
from llm_inference_api.models.convert.quantised.packed import PackedLayer, packed_shape
from llm_inference_api.models.convert.tensors.element_type import Float32Array, to_float32

_BITS = (2, 4, 8)
# What is added to a stored zero point: the first format stores one less than it means.
_ZERO_OFFSETS = {"gptq": 1, "gptq_v2": 0}


class GptqSource(AffineSource):
    def __init__(self, layer: PackedLayer, bits: int, zero_offset: int) -> None:
        words = layer.part("qweight", "I32", 2)
        inputs, outputs = words.shape[0] * 32 // bits, words.shape[1]
        super().__init__(layer.name, (outputs, inputs), bits, layer.dense_kind)
        self._words = words
        self._scales = layer.part("scales", None, 2)
        self._scale_kind = layer.dense_kind
        self._zero_words = layer.part("qzeros", "I32", 2)
        self._zero_offset = zero_offset
        self._order = layer.optional("g_idx")
        groups = self._scales.shape[0]
        packed_shape(layer, "scales", (groups, outputs))
        packed_shape(layer, "qzeros", (groups, outputs * bits // 32))
        self._check_groups(groups)

    def _check_groups(self, groups: int) -> None:
        if self._order is not None and self._order.shape != (self.shape[1],):
            raise ConversionError(f"tensor '{self.name}.g_idx' must have a group for each of {self.shape[1]} inputs")
        if self.shape[1] % groups and self._order is None:
            raise ConversionError(f"tensor '{self.name}.scales' has {groups} groups for {self.shape[1]} inputs")
        if int(self.group_of.min()) < 0 or int(self.group_of.max()) >= groups:
            raise ConversionError(f"tensor '{self.name}.g_idx' names groups beyond the {groups} of its scales")

    @property
    def group_of(self) -> IndexArray:
        if self._order is not None:
            return np.asarray(self._order, np.intp)
        return even_groups(self.shape[1], self._scales.shape[0])

    def integers_of(self, start: int, end: int) -> npt.NDArray[np.uint8]:
        words = np.ascontiguousarray(self._words[:, start:end])
        return np.ascontiguousarray(unpacked(words, self.bits, axis=0).T)

    def zeros_of(self, start: int, end: int) -> IntegerArray:
        per_word = 32 // self.bits
        words = np.ascontiguousarray(self._zero_words[:, start // per_word : -(-end // per_word)])
        zeros = unpacked(words, self.bits, axis=1)[:, : end - start]
        return np.ascontiguousarray(zeros.T).astype(np.int32) + np.int32(self._zero_offset)

    def scales_of(self, start: int, end: int) -> Float32Array:
        return np.ascontiguousarray(to_float32(self._scales[:, start:end], self._scale_kind).T)


def gptq_source(layer: PackedLayer, settings: Config) -> GptqSource:
    form = settings.text("checkpoint_format", "gptq")
    if form not in _ZERO_OFFSETS:
        raise settings.error("checkpoint_format", " or ".join(_ZERO_OFFSETS), form)
    if settings.values.get("is_marlin_format"):
        raise settings.error("is_marlin_format", "false", True)
    if settings.values.get("dynamic"):
        raise settings.error("dynamic", "absent (one width for all layers)", settings.values["dynamic"])
    bits = settings.integer("bits")
    if bits not in _BITS:
        raise settings.error("bits", "2, 4 or 8", bits)
    return GptqSource(layer, bits, _ZERO_OFFSETS[form])
