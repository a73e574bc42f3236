"""The plan of a step: changes of the KV cache, then the rows of the batch."""

from collections.abc import Sequence as Items
from dataclasses import dataclass, field
from typing import NamedTuple

from llm_inference_api.engine.prefix_cache import Scope
from llm_inference_api.engine.prefix_store import BlockState
from llm_inference_api.engine.sequence import Sequence
from llm_inference_api.requests.adapters import NO_ADAPTERS, Adapters


class Truncate(NamedTuple):
    """Cache change: drop the positions of a seat from `length` on."""

    seat: int
    length: int


class CopyPrefix(NamedTuple):
    """Cache change: let the empty seat `target` share the first `length` positions of `source`."""

    source: int
    target: int
    length: int


class Rehome(NamedTuple):
    """Cache change: move the seat's keys and values to the lowest free cells, in the order of the cells they have."""

    seat: int


class Save(NamedTuple):
    """Copies a block of a seat into the store."""

    seat: int
    tokens: Items[int]
    """Those of the seat up to the block's end."""
    start: int
    """Position of the block's first token."""
    scope: Scope
    exact: int
    """Number of leading tokens that are exact."""
    cuts: Items[int] = ()
    """Positions of the block whose cell is below that of the position before."""


class Restore(NamedTuple):
    """Cache change: put leading positions of a saved block at the end of a seat."""

    seat: int
    state: BlockState
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Work:
    """Contiguous tokens of a sequence that the step computes."""

    sequence: Sequence
    start: int
    """Position of the first token."""
    count: int

    @property
    def is_prompt(self) -> bool:
        """Whether this is prefill."""
        return self.start < self.sequence.prompt_length


@dataclass(slots=True)
class Plan:
    """Plan of one step: the cache changes, to be applied in order, then the rows."""

    memory: list[Truncate | CopyPrefix | Rehome | Save | Restore] = field(default_factory=list)
    admitted: list[Sequence] = field(default_factory=list)
    preempted: list[Sequence] = field(default_factory=list)
    """Running sequences that wait again."""
    apart: list[Work] = field(default_factory=list)
    """Work of a forward of its own, before the others': of one sequence, or none."""
    work: list[Work] = field(default_factory=list)
    adapters: Adapters = NO_ADAPTERS
    """Those of all sequences of `work`."""

    @property
    def all_work(self) -> list[Work]:
        """The work of both forwards."""
        return [*self.apart, *self.work]
