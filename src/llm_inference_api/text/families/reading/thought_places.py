"""Where an answer's thoughts are."""


class ThoughtPlaces:
    """The places of thoughts in an answer's text, and what ends the thoughts that are open."""

    def __init__(self) -> None:
        self.closing: str | None = None
        """Text that ends the open thoughts, empty if none does; None if none are open."""
        self._ranges: list[tuple[int, int]] = []
        self._start = 0

    def begin(self, position: int, closing: str) -> None:
        """Notes that thoughts begin, with their marker at this position."""
        self._start, self.closing = position, closing

    def end(self, position: int) -> None:
        """Notes that the open thoughts end before this position; has no effect where none are open."""
        if self.closing is not None:
            self._ranges.append((self._start, position))
            self.closing = None

    def ranges(self, position: int) -> list[tuple[int, int]]:
        """Returns the ranges of characters in thoughts and their markers; open thoughts extend to the position."""
        return self._ranges if self.closing is None else [*self._ranges, (self._start, position)]
