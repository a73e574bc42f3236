"""A sliding window in every layer, for decoders built as Llama is."""

from typing import ClassVar

import numpy as np

from llm_inference_api.models.convert.config import Config
from llm_inference_api.models.convert.families.family import Family
from llm_inference_api.models.convert.families.rope import Metadata
from llm_inference_api.models.convert.tensors.element_type import Float32Array

# llama.cpp's Llama and Phi-3 attend in full. This one computes what its Llama does in the windows that the
# file says; attention sinks, scales and vision inputs, which it has too, are off with the values below.
_WINDOWED = "granite_swa"
# Adds e^-1e30 = 0 to the denominator of a softmax; an infinity would make NaN of fully masked rows.
_NO_SINK = -1e30


class WindowedLlama(Family):
    """Becomes `full_name` where the window is as long as the context, the windowed Llama where it is not."""

    full_name: ClassVar[str]
    factor_tensors = True

    def __init__(self, config: Config) -> None:
        self.name = self.full_name
        super().__init__(config)
        if self.windowed:
            self.name = _WINDOWED

    @property
    def window(self) -> int | None:
        return self.configured_window

    @property
    def configured_window(self) -> int | None:
        return self.config.integer("sliding_window") if "sliding_window" in self.config else None

    @property
    def windowed(self) -> bool:
        whole_heads = self.rotated == self.head_size
        return whole_heads and self.window is not None and self.window < self.rope.reach

    @property
    def sliding_window(self) -> int | None:
        return None if self.windowed else self.window

    def metadata(self) -> Metadata:
        if not self.windowed or self.window is None:
            return super().metadata()
        return super().metadata() | {
            "attention.sliding_window": self.window,
            "attention.sliding_window_pattern": [True] * self.layers,
            "logit_scale": 1.0,
            "deepstack_mapping": [-1] * self.layers,
        }

    def added_tensors(self) -> dict[str, Float32Array]:
        if not self.windowed:
            return {}
        sinks = np.full(self.heads, _NO_SINK, np.float32)
        return {f"blk.{layer}.attn_sinks.weight": sinks for layer in range(self.layers)}
