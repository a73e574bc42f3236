"""Copies of sequences of recurrent and hybrid models, whose layers keep a state of all tokens.

llama.cpp writes a header, then the keys and values, if there are any, then the state (llama_memory_hybrid::state_write
in src/llama-memory-hybrid.cpp); or with LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY, the header and the state.
"""

import ctypes
from dataclasses import dataclass
from typing import Any

import llama_cpp.llama_cpp as C
import numpy as np
import numpy.typing as npt

from llm_inference_api.engine.backend import BackendError

Bytes = npt.NDArray[np.uint8]

_HEADER = 8
"""A magic number and the sequence's id (llama_context::state_seq_get_data in src/llama-context.cpp)."""
_PARTIAL = C.LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY


@dataclass(frozen=True, slots=True)
class LlamaState:
    """Some positions of a sequence; an `engine.state_store.SequenceState`."""

    cells: Bytes
    """The keys and values, with an empty state behind them."""
    layers: Bytes | None
    """The state of the layers after the last position; None where `cells` has it."""

    @property
    def nbytes(self) -> int:
        """Its size in bytes."""
        return self.cells.nbytes + (self.layers.nbytes if self.layers is not None else 0)


@dataclass(frozen=True, slots=True)
class SpanStates:
    """Copies of positions that follow each other, of which each has its cells in the order of its positions."""

    spans: tuple[tuple[Any, int], ...]
    """Each copy with its first position."""

    @property
    def nbytes(self) -> int:
        """Its size in bytes."""
        return sum(state.nbytes for state, _ in self.spans)


def read(context: Any, seat: int, flags: int = 0) -> Bytes:
    """Returns a copy of a seat. Raises BackendError if llama.cpp cannot make it."""
    state = np.empty(int(C.llama_state_seq_get_size_ext(context, seat, flags)), np.uint8)
    if C.llama_state_seq_get_data_ext(context, _pointer(state), state.size, seat, flags) != state.size:
        raise BackendError("llama.cpp could not copy a part of the key-value cache")
    return state


def write(context: Any, seat: int, state: Any) -> None:
    """Puts a copy in the place of what a seat has. Raises BackendError if llama.cpp cannot, as without free cells."""
    parts = [(state, 0)]
    if isinstance(state, LlamaState):
        parts = [(state.cells, 0), *([(state.layers, _PARTIAL)] if state.layers is not None else ())]
    for part, flags in parts:
        if not C.llama_state_seq_set_data_ext(context, _pointer(part), part.size, seat, flags):
            raise BackendError("llama.cpp could not put a saved prefix into the key-value cache")


def read_apart(context: Any, seat: int, empty: Bytes) -> LlamaState:
    """Returns a copy of a seat, the state of its layers apart.

    `empty` is what `read_layers` returns of a seat without tokens.
    """
    whole = read(context, seat)
    size = int(C.llama_state_seq_get_size_ext(context, seat, _PARTIAL)) - _HEADER
    layers = np.concatenate([whole[:_HEADER], whole[whole.size - size :]])
    return LlamaState(np.concatenate([whole[: whole.size - size], empty[_HEADER:]]), layers)


def read_layers(context: Any, seat: int) -> Bytes:
    """Returns a copy of the state of a seat's layers. Raises BackendError as `read`."""
    return read(context, seat, _PARTIAL)


def _pointer(state: Bytes) -> Any:
    return state.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
