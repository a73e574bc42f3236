"""The part of a model that RPC servers hold, by the layers that they compute.

As llama.cpp has it (`load_tensors` in src/llama-model.cpp): the last layers are offloaded, and the output counts as one
more. What stands for the tokens of the input stays.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from llm_inference_api.models.gguf_header import read_tensor_sizes

_LAYER = re.compile(r"blk\.(\d+)\.")
_OUTPUT = "output"
"""Start of the names of what follows the last layer."""


@dataclass(frozen=True, slots=True)
class Offload:
    """What is offloaded, and the room for it."""

    layers: int
    """Number of layers; negative: all."""
    free: int
    """Bytes of the servers' memory that are free."""

    def first(self, layers: int) -> int:
        """Returns the index of the first layer that is offloaded, of so many; `layers` is that of the output."""
        return 0 if self.layers < 0 else max(layers + 1 - self.layers, 0)

    def weights(self, files: Iterable[Path], layers: int) -> int:
        """Returns the bytes of the weights that are offloaded, of a model with so many layers.

        Raises:
            ModelFailedError: A header cannot be read.
        """
        first, count = self.first(layers), 0
        for file in files:
            for name, size in read_tensor_sizes(file).items():
                if found := _LAYER.match(name):
                    count += size if int(found[1]) >= first else 0
                elif name.startswith(_OUTPUT) and layers >= first:
                    count += size
        return count
