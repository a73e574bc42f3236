"""Bookkeeping of the KV cache: the tokens and cells of each seat.

A cell holds the keys and values of one position and may belong to several seats, so a shared prefix takes its cells
once. llama.cpp's unified cache works this way (`llama_memory_seq_cp` adds an owner to cells and copies nothing). This
module mirrors that bookkeeping, so that admission knows what fits before anything is computed.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

_COMPARE_BLOCK = 256
"""Tokens compared at a time by a list comparison, which is faster than a loop over tokens."""


@dataclass(slots=True, eq=False)
class Seat:
    """A sequence id of the KV cache (llama_seq_id), with the tokens and cells that it holds."""

    index: int
    tokens: list[int] = field(default_factory=list)
    cells: list[int] = field(default_factory=list)
    scope: str = ""
    """Only sequences of this scope may reuse the tokens."""
    busy: bool = False
    last_used: int = 0
    """Logical time of the last use; orders idle seats for eviction."""


class PrefixCache:
    """All seats and cells. Idle seats keep their tokens until they are evicted."""

    def __init__(self, seats: int, cells: int) -> None:
        self.seats = [Seat(index) for index in range(seats)]
        self.cells = cells
        self._owners = [0] * cells
        self._busy_owners = [0] * cells
        self.used_by_busy = 0
        """Number of cells owned by at least one busy seat."""
        self._free = list(range(cells - 1, -1, -1))
        self._clock = 0

    @property
    def free(self) -> int:
        """Number of cells without an owner."""
        return len(self._free)

    def reclaimable(self, source: Seat | None, length: int) -> int:
        """Returns the number of free cells if all idle seats were evicted, except `length` cells of `source`."""
        kept = {cell for seat in self.seats if seat.busy for cell in seat.cells}
        kept.update(source.cells[:length] if source else ())
        return self.cells - len(kept)

    def idle_seats(self) -> list[Seat]:
        """Returns the idle seats, least recently used first."""
        return sorted((seat for seat in self.seats if not seat.busy), key=lambda seat: seat.last_used)

    def longest_prefix(self, tokens: list[int], scope: str = "") -> tuple[Seat | None, int]:
        """Returns the seat of the scope with the longest common prefix, and the prefix's length in tokens.

        The prefix excludes the last token, which must be computed to get its scores. Prefers an idle seat to a busy one
        with the same length, since it can be taken over without sharing. Returns (None, 0) if there is no prefix.
        """
        best, length = None, 0
        for seat in self.seats:
            if seat.scope == scope and seat.tokens and seat.tokens[0] == tokens[0]:
                common = common_prefix(seat.tokens, tokens, len(tokens) - 1)
                if common > length or (common == length and best is not None and best.busy and not seat.busy):
                    best, length = seat, common
        return best, length

    def occupy(self, seat: Seat, scope: str = "") -> None:
        """Marks the seat as busy with a sequence of this scope."""
        seat.busy, seat.scope = True, scope
        for cell in seat.cells:
            self._busy_owners[cell] += 1
            self.used_by_busy += self._busy_owners[cell] == 1
        self._touch(seat)

    def release(self, seat: Seat) -> None:
        """Marks the seat as idle; it keeps its tokens."""
        seat.busy = False
        for cell in seat.cells:
            self._busy_owners[cell] -= 1
            self.used_by_busy -= self._busy_owners[cell] == 0
        self._touch(seat)

    def share(self, source: Seat, target: Seat, length: int) -> None:
        """Makes the empty target a second owner of the source's first `length` cells."""
        target.tokens = source.tokens[:length]
        target.cells = source.cells[:length]
        for cell in target.cells:
            self._owners[cell] += 1
        self._touch(source)

    def truncate(self, seat: Seat, length: int) -> None:
        """Drops the positions of the idle seat from `length` on; cells without an owner become free."""
        for cell in seat.cells[length:]:
            self._owners[cell] -= 1
            if not self._owners[cell]:
                self._free.append(cell)
        del seat.tokens[length:], seat.cells[length:]

    def extend(self, seat: Seat, tokens: Iterable[int]) -> None:
        """Allocates a cell of the busy seat for each token. Raises IndexError if there are too few free cells."""
        for token in tokens:
            cell = self._free.pop()
            self._owners[cell] = self._busy_owners[cell] = 1
            self.used_by_busy += 1
            seat.tokens.append(token)
            seat.cells.append(cell)

    def clear(self) -> None:
        """Drops all tokens of all seats, which must be idle."""
        for seat in self.seats:
            self.truncate(seat, 0)

    def _touch(self, seat: Seat) -> None:
        self._clock += 1
        seat.last_used = self._clock


def common_prefix(left: list[int], right: list[int], limit: int) -> int:
    """Returns the length of the lists' common prefix, at most `limit`."""
    limit = min(limit, len(left), len(right))
    start = 0
    while start < limit and left[start : start + _COMPARE_BLOCK] == right[start : start + _COMPARE_BLOCK]:
        start += _COMPARE_BLOCK
    if start >= limit:
        return limit
    end = min(start + _COMPARE_BLOCK, limit)
    return next((at for at in range(start, end) if left[at] != right[at]), end)
