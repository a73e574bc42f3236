"""Prefixes of ended requests outside of the KV cache: blocks of tokens with their keys and values in host memory.

Attention walks every cell of the cache up to the highest used one, so what nobody computes with slows everybody down
there. A block has the keys and values of up to `BLOCK` positions, given the tokens before them, so that all prefixes
form a tree that holds once what they have in common.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from llm_inference_api.engine.prefix_cache import Scope

BLOCK = 64
"""Positions of a block that is not the end of a prefix. Copying one takes a millisecond or two, and where prefixes part
within a block, the rest of it is held twice."""


class BlockState(Protocol):
    """The keys and values of a block; only the backend looks into it."""

    @property
    def nbytes(self) -> int:
        """Its size in bytes."""


@dataclass(slots=True, eq=False)
class Block:
    """Tokens at some positions, and their keys and values."""

    tokens: tuple[int, ...]
    start: int
    """Position of the first one."""
    parent: "Block | None"
    state: BlockState | None
    """None for the root, which has no tokens."""
    exact: int = 0
    """Number of leading tokens that are exact if all tokens before are; see `prefix_cache`."""
    children: dict[int, list["Block"]] = field(default_factory=dict)
    """By their first token."""

    @property
    def size(self) -> int:
        """Bytes."""
        return self.state.nbytes if self.state is not None else 0


class Piece(NamedTuple):
    """Leading tokens of a block that a prompt has too."""

    block: Block
    length: int


class PrefixStore:
    """A tree of blocks for each scope, bounded in bytes. Leaves that were not used for longest are dropped first."""

    def __init__(self, capacity: int) -> None:
        """Creates an empty store of `capacity` bytes."""
        self.capacity = capacity
        self.size = 0
        """Bytes in use."""
        self.tokens = 0
        """Number of tokens held."""
        self._roots: dict[Scope, Block] = {}
        self._by_use: OrderedDict[Block, Scope] = OrderedDict()
        """All blocks with their scopes, least recently used first; none before a child of its own."""

    def match(self, tokens: Sequence[int], scope: Scope, *, exact: bool = False) -> list[Piece]:
        """Returns the blocks that begin as the tokens do but for the last one, which must be computed for its scores.

        With `exact`, only exact tokens are counted.
        """
        limit = len(tokens) - 1
        pieces: list[Piece] = []
        block = self._roots.get(scope)
        at = 0
        while block is not None and at < limit:
            block, count = _longest(block, tokens[at : min(at + BLOCK, limit)])
            if block is None:
                break
            count = min(count, block.exact) if exact else count
            if count:
                pieces.append(Piece(block, count))
            if count < len(block.tokens):
                break
            at += count
        return pieces

    def use(self, block: Block) -> None:
        """Makes the block and those before it the most recently used ones, the first of all last."""
        at: Block | None = block
        while at is not None and at.parent is not None:
            self._by_use.move_to_end(at)
            at = at.parent

    def wants(self, tokens: Sequence[int], start: int, scope: Scope, *, exact: int) -> bool:
        """Returns whether the block of `tokens` from `start` to their end is to be put.

        It is not if it is held, unless more of its tokens are exact (`exact` of all) than of those, or if the blocks
        before it are not.
        """
        parent = self._path(tokens, start, scope)
        if parent is None:
            return False
        wanted = tuple(tokens[start:])
        held = next((block for block in _children(parent, wanted) if block.tokens[: len(wanted)] == wanted), None)
        return held is None or min(held.exact, len(wanted)) < exact - start

    def put(self, tokens: Sequence[int], start: int, state: BlockState, scope: Scope, *, exact: int) -> None:
        """Holds a block: `tokens` from `start` to their end, the state of these, and how many of all are exact.

        Does nothing if it is larger than the store, or the blocks before it are not held any more.
        """
        parent = self._path(tokens, start, scope)
        if parent is None or state.nbytes > self.capacity:
            return
        block = Block(tuple(tokens[start:]), start, parent, state, min(max(exact, start), len(tokens)) - start)
        for other in list(_children(parent, block.tokens)):
            if other.tokens == block.tokens:
                block.children = other.children
                for child in _all_children(block):
                    child.parent = block
                self._forget(other)
            elif block.tokens[: len(other.tokens)] == other.tokens:  # The end of a prefix that has gone on.
                self._forget(other)
        parent.children.setdefault(block.tokens[0], []).append(block)
        self.size += block.size
        self.tokens += len(block.tokens)
        self._by_use[block] = scope
        self.use(block)
        while self.size > self.capacity:
            self._forget(next(iter(self._by_use)))

    def _path(self, tokens: Sequence[int], start: int, scope: Scope) -> Block | None:
        """Returns the block that ends at a position, with these tokens; None if there is none."""
        block = self._roots.setdefault(scope, Block((), 0, None, None))
        for at in range(0, start, BLOCK):
            wanted = tuple(tokens[at : at + BLOCK])
            found = next((child for child in _children(block, wanted) if child.tokens == wanted), None)
            if found is None:
                return None
            block = found
        return block

    def _forget(self, block: Block) -> None:
        """Drops a block that has no children, or whose children have another parent."""
        del self._by_use[block]
        self.size -= block.size
        self.tokens -= len(block.tokens)
        assert block.parent is not None
        siblings = block.parent.children[block.tokens[0]]
        siblings.remove(block)
        if not siblings:
            del block.parent.children[block.tokens[0]]


def _children(block: Block, tokens: Sequence[int]) -> list[Block]:
    """Returns the children that begin with the first one of some tokens."""
    return block.children.get(tokens[0], [])


def _all_children(block: Block) -> Iterator[Block]:
    for blocks in block.children.values():
        yield from blocks


def _longest(parent: Block, tokens: Sequence[int]) -> tuple[Block | None, int]:
    """Returns the child with the longest common prefix, and its length in tokens."""
    best, length, wanted = None, 0, tuple(tokens)
    for child in _children(parent, wanted):
        limit = min(len(child.tokens), len(wanted))
        common = limit
        if child.tokens[:limit] != wanted[:limit]:
            common = next(at for at in range(limit) if child.tokens[at] != wanted[at])
        if common > length:
            best, length = child, common
    return best, length
