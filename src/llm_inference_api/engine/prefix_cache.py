"""Bookkeeping of the KV cache: the tokens and cells of each seat.

A cell holds the keys and values of one position and may belong to several seats, so a shared prefix takes its cells
once. llama.cpp's unified cache works this way (`llama_memory_seq_cp` adds an owner to cells and copies nothing). This
module mirrors that bookkeeping, so that admission knows what fits before anything is computed.

The cells' numbers are mirrored too. llama.cpp gives new rows the lowest free cells, in the order of the batch: its
search begins at a head that is moved down to the first cell that becomes free (llama_kv_cache::find_slot, seq_rm).
Attention adds up in the order of cells, so a sequence is computed to the last bit as in an empty cache as long as its
cells ascend.
"""

import heapq
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

_COMPARE_BLOCK = 256
"""Tokens compared at a time by a list comparison, which is faster than a loop over tokens."""


Scope = Hashable
"""Whose keys and values are the same for the same tokens."""
NO_SCOPE: Scope = None


@dataclass(slots=True, eq=False)
class Seat:
    """A sequence id of the KV cache (llama_seq_id), with the tokens and cells that it holds."""

    index: int
    tokens: list[int] = field(default_factory=list)
    cells: list[int] = field(default_factory=list)
    scope: Scope = NO_SCOPE
    """Only sequences of this scope may reuse the tokens."""
    ascending: int = 0
    """Number of leading tokens whose cells ascend."""
    exact: int = 0
    """Number of leading tokens whose keys and values are those that a request alone in an empty cache would compute."""
    saved: int = 0
    """Number of leading tokens of which the prefix store was offered the keys and values."""
    busy: bool = False
    last_used: int = 0
    """Logical time of the last use; orders idle seats for eviction."""

    def cuts(self, start: int, end: int) -> list[int]:
        """Returns the positions between these whose cell is below that of the position before."""
        return [at for at in range(max(start + 1, self.ascending), end) if self.cells[at] < self.cells[at - 1]]


class PrefixCache:
    """All seats and cells. Idle seats keep their tokens until they are evicted."""

    def __init__(self, seats: int, cells: int) -> None:
        self.seats = [Seat(index) for index in range(seats)]
        self.cells = cells
        self._owners = [0] * cells
        self._busy_owners = [0] * cells
        self.used_by_busy = 0
        """Number of cells owned by at least one busy seat."""
        self._free = list(range(cells))
        """A heap."""
        self._clock = 0

    @property
    def idle(self) -> int:
        """Number of cells that only idle seats own."""
        return self.cells - self.free - self.used_by_busy

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

    def longest_prefix(
        self, tokens: list[int], scope: Scope = NO_SCOPE, *, exact: bool = False, whole: bool = False
    ) -> tuple[Seat | None, int]:
        """Returns the seat of the scope with the longest common prefix, and the prefix's length in tokens.

        With `exact`, only exact tokens are counted; with `whole`, only seats all of whose tokens are in the prefix.

        The prefix excludes the last token, which must be computed to get its scores. Prefers an idle seat to a busy one
        with the same length, since it can be taken over without sharing. Returns (None, 0) if there is no prefix.
        """
        best, length = None, 0
        for seat in self.seats:
            if seat.scope == scope and seat.tokens and seat.tokens[0] == tokens[0]:
                limit = min(len(tokens) - 1, seat.exact) if exact else len(tokens) - 1
                common = common_prefix(seat.tokens, tokens, limit)
                if whole and common < len(seat.tokens):
                    continue
                if common > length or (common == length and best is not None and best.busy and not seat.busy):
                    best, length = seat, common
        return best, length

    def occupy(self, seat: Seat, scope: Scope = NO_SCOPE) -> None:
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
        target.ascending = min(source.ascending, length)
        target.exact = min(source.exact, length)
        for cell in target.cells:
            self._owners[cell] += 1
        self._touch(source)

    def truncate(self, seat: Seat, length: int) -> None:
        """Drops the positions of the idle seat from `length` on; cells without an owner become free."""
        for cell in seat.cells[length:]:
            self._owners[cell] -= 1
            if not self._owners[cell]:
                heapq.heappush(self._free, cell)
        del seat.tokens[length:], seat.cells[length:]
        seat.saved = min(seat.saved, length)
        seat.ascending = min(seat.ascending, length)
        seat.exact = min(seat.exact, length)

    def extend(self, seat: Seat, tokens: Iterable[int], *, exact: int | None = None) -> None:
        """Allocates a cell of the busy seat for each token. Raises IndexError if there are too few free cells.

        The first `exact` tokens (None: all) are exact if those before them are and their cells ascend.
        """
        for at, token in enumerate(tokens):
            cell = self._take()
            held = len(seat.cells)
            if seat.ascending == held and (not seat.cells or cell > seat.cells[-1]):
                seat.ascending += 1
                seat.exact += (exact is None or at < exact) and seat.exact == held
            seat.tokens.append(token)
            seat.cells.append(cell)

    def would_part(self, seat: Seat) -> bool:
        """Returns whether the seat's next cell would be below its last one, though its cells ascend so far."""
        return bool(self._free and seat.cells and self._free[0] < seat.cells[-1] and seat.ascending == len(seat.cells))

    def shared_cells(self, seat: Seat) -> int:
        """Returns the number of the seat's cells that have another owner."""
        return sum(self._owners[cell] > 1 for cell in seat.cells)

    def rehome(self, seat: Seat) -> None:
        """Gives the busy seat cells of its own, the lowest that are free or that it alone owns."""
        for cell in seat.cells:
            self._owners[cell] -= 1
            self._busy_owners[cell] -= 1
            self.used_by_busy -= self._busy_owners[cell] == 0
            if not self._owners[cell]:
                heapq.heappush(self._free, cell)
        seat.cells[:] = [self._take() for _ in seat.cells]

    def _take(self) -> int:
        """Returns the lowest free cell, with a busy seat as its owner. Raises IndexError if there is none."""
        cell = heapq.heappop(self._free)
        self._owners[cell] = self._busy_owners[cell] = 1
        self.used_by_busy += 1
        return cell

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
