"""Which tokens the key-value cache holds, in which seats, and what they cost.

A cell holds the keys and values of one position and may belong to several seats: a prefix that many requests share is
paid once. llama.cpp's unified cache works this way (`llama_memory_seq_cp` adds an owner to cells and copies nothing).
This module mirrors its bookkeeping, so that admission can tell what fits before anything is computed.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

_COMPARE_BLOCK = 256


@dataclass(slots=True, eq=False)
class Seat:
    """A sequence id of the key-value cache, and the tokens whose keys and values it holds."""

    index: int
    tokens: list[int] = field(default_factory=list)
    cells: list[int] = field(default_factory=list)
    scope: str = ""
    """Only requests of this scope may share the tokens."""
    busy: bool = False
    last_used: int = 0
    """Grows with each use; orders idle seats."""


class PrefixCache:
    """All seats and cells. Idle seats keep their tokens until the room is needed."""

    def __init__(self, seats: int, cells: int) -> None:
        self.seats = [Seat(index) for index in range(seats)]
        self.cells = cells
        self._owners = [0] * cells
        self._busy_owners = [0] * cells
        self.used_by_busy = 0
        """Cells that at least one busy seat owns."""
        self._free = list(range(cells - 1, -1, -1))
        self._clock = 0

    @property
    def free(self) -> int:
        """Cells that hold nothing."""
        return len(self._free)

    def reclaimable(self, source: Seat | None, length: int) -> int:
        """Returns the cells that would be free if all idle seats were emptied but for `length` cells of `source`."""
        kept = {cell for seat in self.seats if seat.busy for cell in seat.cells}
        kept.update(source.cells[:length] if source else ())
        return self.cells - len(kept)

    def idle_seats(self) -> list[Seat]:
        """Returns the seats that nobody uses, the longest unused first."""
        return sorted((seat for seat in self.seats if not seat.busy), key=lambda seat: seat.last_used)

    def longest_prefix(self, tokens: list[int], scope: str = "") -> tuple[Seat | None, int]:
        """Returns the scope's seat that holds the longest prefix of the tokens, and that prefix's length.

        The last token is left out, since it must be computed to have scores after it. Where a busy and an idle seat
        hold equally much, the idle one is returned: it can be taken over.
        """
        best, length = None, 0
        for seat in self.seats:
            if seat.scope == scope and seat.tokens and seat.tokens[0] == tokens[0]:
                common = common_prefix(seat.tokens, tokens, len(tokens) - 1)
                if common > length or (common == length and best is not None and best.busy and not seat.busy):
                    best, length = seat, common
        return best, length

    def occupy(self, seat: Seat, scope: str = "") -> None:
        """Marks the seat as used by a request of this scope."""
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
        """Lets the empty target own the source's first `length` cells too."""
        target.tokens = source.tokens[:length]
        target.cells = source.cells[:length]
        for cell in target.cells:
            self._owners[cell] += 1
        self._touch(source)

    def truncate(self, seat: Seat, length: int) -> None:
        """Drops what the idle seat holds from position `length` on."""
        for cell in seat.cells[length:]:
            self._owners[cell] -= 1
            if not self._owners[cell]:
                self._free.append(cell)
        del seat.tokens[length:], seat.cells[length:]

    def extend(self, seat: Seat, tokens: Iterable[int]) -> None:
        """Gives the busy seat a new cell for each token; there must be that many free ones."""
        for token in tokens:
            cell = self._free.pop()
            self._owners[cell] = self._busy_owners[cell] = 1
            self.used_by_busy += 1
            seat.tokens.append(token)
            seat.cells.append(cell)

    def clear(self) -> None:
        """Forgets all tokens of all seats, which must be idle."""
        for seat in self.seats:
            self.truncate(seat, 0)

    def _touch(self, seat: Seat) -> None:
        self._clock += 1
        seat.last_used = self._clock


def common_prefix(left: list[int], right: list[int], limit: int) -> int:
    """Returns how many leading tokens the lists share, at most `limit`."""
    limit = min(limit, len(left), len(right))
    start = 0
    while start < limit and left[start : start + _COMPARE_BLOCK] == right[start : start + _COMPARE_BLOCK]:
        start += _COMPARE_BLOCK
    if start >= limit:
        return limit
    end = min(start + _COMPARE_BLOCK, limit)
    return next((at for at in range(start, end) if left[at] != right[at]), end)
