"""DRY samplers, cloned from ones of the same parameters.

For a new one llama.cpp looks for each breaker in the text of each token: 0.1 s for the default four of 150,000 tokens.
"""

import ctypes
import threading
from collections import OrderedDict
from typing import Any, NamedTuple

import llama_cpp.llama_cpp as C

_KEPT = 8


class Dry(NamedTuple):
    """Parameters of a DRY sampler; see `Sampling`."""

    multiplier: float
    base: float
    allowed_length: int
    last: int
    breakers: tuple[str, ...]


class DrySamplers:
    """The samplers of one vocabulary. Thread-safe."""

    def __init__(self, vocab: Any) -> None:
        self._vocab = vocab
        self._samplers: OrderedDict[Dry, Any] = OrderedDict()
        self._lock = threading.Lock()

    def new(self, dry: Dry) -> Any:
        """Returns a new sampler, which the caller frees."""
        with self._lock:
            if dry not in self._samplers:
                self._samplers[dry] = self._made(dry)
            self._samplers.move_to_end(dry)
            while len(self._samplers) > _KEPT:
                C.llama_sampler_free(self._samplers.popitem(last=False)[1])
            return C.llama_sampler_clone(self._samplers[dry])

    def _made(self, dry: Dry) -> Any:
        breakers = [text.encode() for text in dry.breakers]
        texts = (ctypes.c_char_p * len(breakers))(*breakers)
        return C.llama_sampler_init_dry(self._vocab, *dry[:4], texts, len(breakers))
