"""Saved sequences of recurrent and hybrid models, in host memory.

The layers of such a model keep one state of all tokens of a sequence, from which none can be taken away: a prompt goes
on exactly where a state was saved, or is computed from its beginning. An entry has the keys and values of its own
positions, those before being its parent's, and the state at its end.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from llm_inference_api.engine.prefix_cache import Scope, common_prefix
from llm_inference_api.engine.prefix_store import Block, BlockState, Piece


@runtime_checkable
class SequenceState(BlockState, Protocol):
    """What a backend saves of such a model; only the backend looks into it."""

    @property
    def cells(self) -> BlockState:
        """The keys and values alone, from which no sequence can go on."""


@dataclass(slots=True, eq=False)
class _Entry(Block):
    """Tokens at some positions, their keys and values, and the state behind them."""

    prefix: list[int] = field(default_factory=list)
    """All tokens up to the end."""
    scope: Scope = None
    cells: BlockState | None = None
    """The keys and values alone."""
    others: int = 0
    """Number of entries whose parent it is."""

    @property
    def end(self) -> int:
        return len(self.prefix)

    @property
    def takes_more_than_cells(self) -> bool:
        return self.cells is not None and self.cells.nbytes < self.size


class StateStore:
    """Entries, bounded in bytes. The states that were not used for longest are dropped first.

    Keys and values stay as long as an entry behind them has a state.
    """

    def __init__(self, capacity: int) -> None:
        """Creates an empty store of `capacity` bytes."""
        self.capacity = capacity
        self.size = 0
        """Bytes in use."""
        self.tokens = 0
        """Number of tokens whose keys and values are held."""
        self._resumable: OrderedDict[_Entry, None] = OrderedDict()
        """Entries that have their state, least recently used first."""

    def match(self, tokens: list[int], scope: Scope, *, exact: bool = False) -> list[Piece]:
        """Returns the entries that lead to the longest saved sequence that the tokens begin with, but for the last one.

        The last one must be computed for its scores. Nothing here is exact to the last bit.
        """
        fitting = [] if exact else [entry for entry in self._of(scope) if _begins(tokens, entry, len(tokens) - 1)]
        return [Piece(entry, len(entry.tokens)) for entry in _chain(max(fitting, key=_end, default=None))]

    def common(self, tokens: list[int], scope: Scope) -> int:
        """Returns how many leading tokens any saved sequence shares, whether or not one can go on there."""
        return max((common_prefix(entry.prefix, tokens, len(tokens)) for entry in self._of(scope)), default=0)

    def saved(self, tokens: list[int], scope: Scope) -> int:
        """Returns the length of the longest saved sequence that the tokens begin with."""
        return max((entry.end for entry in self._of(scope) if _begins(tokens, entry, len(tokens))), default=0)

    def use(self, block: Block) -> None:
        """Makes an entry the most recently used one."""
        assert isinstance(block, _Entry)
        if block in self._resumable:
            self._resumable.move_to_end(block)

    def put(self, tokens: list[int], start: int, state: BlockState, scope: Scope) -> None:
        """Holds a sequence: `tokens`, and the state of those from `start` on.

        Does nothing if it is larger than the store, is held, or the one that ends at `start` is not held any more.
        """
        entries = [entry for entry in self._of(scope) if _begins(tokens, entry, len(tokens))]
        parent = next((entry for entry in entries if entry.end == start), None)
        is_held = any(entry.end == len(tokens) for entry in entries)
        if state.nbytes > self.capacity or is_held or (start and parent is None):
            return
        assert isinstance(state, SequenceState)
        own, prefix = tuple(tokens[start:]), list(tokens)
        entry = _Entry(own, start, parent, state, prefix=prefix, scope=scope, cells=state.cells)
        if parent is not None:
            parent.others += 1
        self.size += entry.size
        self.tokens += len(entry.tokens)
        self._resumable[entry] = None
        while self.size > self.capacity:
            self._drop_oldest()

    def _of(self, scope: Scope) -> list[_Entry]:
        return [entry for entry in self._resumable if entry.scope == scope]

    def _drop_oldest(self) -> None:
        """Drops the state that was not used for longest, and the keys and values that nothing else needs."""
        entry = next(entry for entry in self._resumable if not entry.others or entry.takes_more_than_cells)
        del self._resumable[entry]
        self.size -= entry.size
        entry.state = entry.cells
        self.size += entry.size
        at: _Entry | None = entry
        while at is not None and not at.others and at not in self._resumable:
            self.size -= at.size
            self.tokens -= len(at.tokens)
            at = _parent(at)
            if at is not None:
                at.others -= 1


def _begins(tokens: list[int], entry: _Entry, limit: int) -> bool:
    """Returns whether an entry's sequence is the beginning of the first `limit` tokens."""
    end = entry.end
    return end <= limit and tokens[end - 1] == entry.prefix[-1] and tokens[:end] == entry.prefix


def _end(entry: _Entry) -> int:
    return entry.end


def _parent(entry: _Entry) -> _Entry | None:
    assert entry.parent is None or isinstance(entry.parent, _Entry)
    return entry.parent


def _chain(entry: _Entry | None) -> list[Block]:
    """Returns an entry behind those before it, whose states are not needed."""
    if entry is None:
        return []
    chain: list[Block] = [entry]
    at = _parent(entry)
    while at is not None:
        chain.insert(0, Block(at.tokens, at.start, None, at.cells))
        at = _parent(at)
    return chain
