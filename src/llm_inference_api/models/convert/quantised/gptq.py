"""GPTQ checkpoints (Frantar et al. 2022) in the layout of AutoGPTQ and GPTQModel.

A layer's `qweight` has shape (inputs * bits / 32, outputs), `qzeros` (groups, outputs * bits / 32), `scales`
(groups, outputs), and `g_idx`, which is optional, the group of each input.
"""

import numpy as np

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

_BITS = (2, 4, 8)
_ZERO_OFFSETS = {"gptq": 1, "gptq_v2": 0}
"""Offset of zero points by checkpoint format: the first stores each zero point minus one."""


class GptqSource(AffineSource):
    """A packed layer. Raises ConversionError where a part is missing, or of another shape or content."""

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
        check_shape(layer, "scales", (groups, outputs))
        check_shape(layer, "qzeros", (groups, outputs * bits // 32))
        self._check_groups(groups)

    def _check_groups(self, groups: int) -> None:
        if self._order is not None and self._order.shape != (self.shape[1],):
            raise ConversionError(f"tensor '{self.name}.g_idx' must hold a group for each of {self.shape[1]} inputs")
        if self.shape[1] % groups and self._order is None:
            raise ConversionError(f"tensor '{self.name}.scales' has {groups} groups for {self.shape[1]} inputs")
        if int(self.group_of.min()) < 0 or int(self.group_of.max()) >= groups:
            raise ConversionError(f"tensor '{self.name}.g_idx' names groups beyond the {groups} of its scales")

    @property
    def group_of(self) -> IndexArray:
        """The group of each input."""
        if self._order is not None:
            return np.asarray(self._order, np.intp)
        return even_groups(self.shape[1], self._scales.shape[0])

    def integers_of(self, start: int, end: int) -> ByteArray:
        """Returns the integers of the outputs from `start` to `end`, of shape (outputs, inputs)."""
        words = np.ascontiguousarray(self._words[:, start:end])
        return np.ascontiguousarray(unpacked(words, self.bits, axis=0).T)

    def zeros_of(self, start: int, end: int) -> IntegerArray:
        """Returns the zero points of the outputs from `start` to `end`, of shape (outputs, groups)."""
        per_word = 32 // self.bits
        words = np.ascontiguousarray(self._zero_words[:, start // per_word : -(-end // per_word)])
        zeros = unpacked(words, self.bits, axis=1)[:, : end - start]
        return np.ascontiguousarray(zeros.T).astype(np.int32) + np.int32(self._zero_offset)

    def scales_of(self, start: int, end: int) -> Float32Array:
        """Returns the scales of the outputs from `start` to `end`, of shape (outputs, groups)."""
        return np.ascontiguousarray(to_float32(self._scales[:, start:end], self._scale_kind).T)


def _format(settings: Config) -> str:
    """Returns the checkpoint format, which AutoGPTQ names `checkpoint_format` and GPTQModel `format` too."""
    named = {name: settings.text(name) for name in ("checkpoint_format", "format") if name in settings}
    for name, form in named.items():
        if form not in _ZERO_OFFSETS:
            raise settings.error(name, " or ".join(_ZERO_OFFSETS), form)
    if len(set(named.values())) > 1:
        raise settings.error("format", f"as 'checkpoint_format' ({named['checkpoint_format']})", named["format"])
    return next(iter(named.values()), "gptq")


def gptq_source(layer: PackedLayer, settings: Config) -> GptqSource:
    """Returns a layer of a checkpoint whose `quantization_config` is `settings`.

    Raises:
        ConversionError: The format is unknown, the width is not 2, 4 or 8 bits in all layers, or a part is malformed.
    """
    form = _format(settings)
    if settings.values.get("is_marlin_format"):
        raise settings.error("is_marlin_format", "false", True)
    # GPTQModel's rules by layer: those that begin with "-:" leave layers unpacked, which their tensors show.
    if any(not name.startswith("-:") for name in settings.section("dynamic").values):
        raise settings.error(
            "dynamic", "without rules that change a layer (one width for all)", settings.values["dynamic"]
        )
    bits = settings.integer("bits")
    if bits not in _BITS:
        raise settings.error("bits", "2, 4 or 8", bits)
    return GptqSource(layer, bits, _ZERO_OFFSETS[form])
