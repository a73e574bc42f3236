"""Sliding windows in every layer, for families whose decoder is a Llama."""

from typing import ClassVar

import numpy as np

from llm_inference_api.models.convert.config import Config
from llm_inference_api.models.convert.families.family import Family
from llm_inference_api.models.convert.families.rope import Metadata
from llm_inference_api.models.convert.tensors.element_type import Float32Array

_WINDOWED = "granite_swa"
"""The architecture of llama.cpp for a Llama with windows, which its Llama and Phi-3 do not have.

It also has attention sinks, scales and vision inputs; the metadata and tensors below turn them off.
"""
_NO_SINK = -1e30
"""Adds exp(-1e30) = 0 to the denominator of a softmax; minus infinity would make NaN of fully masked rows."""


class WindowedLlama(Family):
    """A Llama that converts to a windowed architecture where its window is shorter than its context."""

    full_name: ClassVar[str]
    """llama.cpp's name of the architecture without a window."""
    factor_tensors = True

    def __init__(self, config: Config) -> None:
        self.name = self.full_name
        super().__init__(config)
        if self.windowed:
            self.name = _WINDOWED

    @property
    def window(self) -> int | None:
        """The window in tokens that the family's code applies, None for full attention."""
        return self.configured_window

    @property
    def configured_window(self) -> int | None:
        """The window in tokens that config.json has, None where it has none."""
        return self.config.integer("sliding_window") if "sliding_window" in self.config else None

    @property
    def windowed(self) -> bool:
        """Whether the windowed architecture is used; it cannot rotate a part of a head."""
        whole_heads = self.rotated == self.head_size
        return whole_heads and self.window is not None and self.window < self.rope.reach

    @property
    def sliding_window(self) -> int | None:
        """The window where the architecture has none."""
        return None if self.windowed else self.window

    def metadata(self) -> Metadata:
        """Returns Family's metadata, for the windowed architecture with the window and neutral scales."""
        if not self.windowed or self.window is None:
            return super().metadata()
        return super().metadata() | {
            "attention.sliding_window": self.window,
            "attention.sliding_window_pattern": [True] * self.layers,
            "logit_scale": 1.0,
            "deepstack_mapping": [-1] * self.layers,
        }

    def added_tensors(self) -> dict[str, Float32Array]:
        """Returns attention sinks without effect for the windowed architecture."""
        if not self.windowed:
            return {}
        sinks = np.full(self.heads, _NO_SINK, np.float32)
        return {f"blk.{layer}.attn_sinks.weight": sinks for layer in range(self.layers)}
