"""The text of an answer as it arrives, and the parts that it is read into.

Parsers are generators: they yield where they need more text, and are resumed when it has come. So an answer is read the
same in whatever deltas it comes.
"""

import re
from collections.abc import Generator
from typing import TypeAlias, TypeVar

from llm_inference_api.requests.events import CallPart, Piece
from llm_inference_api.text.families.reading.reader import Part

_SPACE = re.compile(r"\s+")
T = TypeVar("T")
Parsing: TypeAlias = Generator[None, None, T]
"""A parser that yields where it needs more text, and returns what it has found."""


class Source:
    """Text that arrives in deltas. Offsets count from the first character that is not taken yet."""

    def __init__(self) -> None:
        self._text = ""
        self._at = 0
        self._tape: list[str] | None = None
        self.position = 0
        """Number of the characters taken."""
        self.final = False
        """Whether no more text comes."""

    def feed(self, text: str, *, final: bool) -> None:
        """Adds a delta."""
        self._text = self._text[self._at :] + text
        self._at, self.final = 0, final

    @property
    def size(self) -> int:
        """Number of characters that have come and are not taken."""
        return len(self._text) - self._at

    def has(self, offset: int) -> Parsing[bool]:
        """Waits for the character at the offset; returns whether there is one."""
        while self.size <= offset:
            if self.final:
                return False
            yield
        return True

    def char(self, offset: int = 0) -> str:
        """Returns the character at the offset, which must have come."""
        return self._text[self._at + offset]

    def slice(self, start: int, end: int) -> str:
        """Returns the text between two offsets."""
        return self._text[self._at + start : self._at + end]

    def find(self, text: str) -> int:
        """Returns the offset of a text; -1 if it has not come."""
        at = self._text.find(text, self._at)
        return at if at < 0 else at - self._at

    def search(self, pattern: re.Pattern[str]) -> tuple[int, str]:
        """Returns the offset and the text of a pattern's first match; -1 and no text if there is none."""
        found = pattern.search(self._text, self._at)
        return (found.start() - self._at, found[0]) if found else (-1, "")

    def run(self, pattern: re.Pattern[str]) -> int:
        """Returns the size of a pattern's match at the first offset; 0 if it does not match there."""
        found = pattern.match(self._text, self._at)
        return found.end() - self._at if found else 0

    def tail(self, size: int) -> str:
        """Returns the last characters that have come and are not taken, at most `size`."""
        return self._text[max(self._at, len(self._text) - size) :]

    def take(self, size: int) -> str:
        """Takes the next characters."""
        taken = self._text[self._at : self._at + size]
        self._at += size
        self.position += size
        if self._tape is not None:
            self._tape.append(taken)
        return taken

    def record(self) -> None:
        """Starts to keep what is taken, so that it can be put back."""
        self._tape = []

    def keep(self) -> None:
        """Ends `record`; what was taken stays so."""
        self._tape = None

    def put_back(self) -> int:
        """Puts back what was taken since `record`, and returns its size."""
        back = "".join(self._tape or ())
        self._tape = None
        self._text = back + self._text[self._at :]
        self._at = 0
        self.position -= len(back)
        return len(back)

    def skip(self, pattern: re.Pattern[str]) -> Parsing[None]:
        """Takes all text that matches a pattern of one or more characters."""
        while (yield from self.has(0)) and (size := self.run(pattern)):
            self.take(size)

    def skip_space(self) -> Parsing[None]:
        """Takes white space."""
        yield from self.skip(_SPACE)


class ReadParts:
    """The parts that a source is read into."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._parts: list[Part] = []
        self._arguments: list[str] = []
        self.sent = 0
        """Position up to which the parts stand for the text."""
        self.calls = 0
        """Number of the calls begun."""

    def put(self, piece: Piece, size: int, end: int) -> None:
        """Adds a piece that stands for `size` characters up to the position `end`; what is before it is markup."""
        if before := end - size - self.sent:
            self._parts.append(Part(None, before))
        self._parts.append(Part(piece, size))
        self.sent = end

    def begin_call(self, identity: str, name: str) -> None:
        """Begins the next call."""
        self.put(CallPart(self.calls, identity, name), 0, self._source.position)
        self.calls += 1

    def add_arguments(self, text: str) -> None:
        """Appends to the arguments of the last call that has begun."""
        self._arguments.append(text)

    def flush(self) -> None:
        """Completes the part of the arguments so far."""
        if text := "".join(self._arguments):
            self._parts.append(Part(CallPart(self.calls - 1, arguments=text), self._source.position - self.sent))
            self.sent = self._source.position
        self._arguments.clear()

    def finish(self) -> None:
        """Adds what is left of the text as markup."""
        self.flush()
        if left := self._source.position - self.sent:
            self._parts.append(Part(None, left))
            self.sent += left

    def drain(self) -> list[Part]:
        """Takes the parts that are complete."""
        self.flush()
        parts, self._parts = self._parts, []
        return parts

    def fork(self) -> "ReadParts":
        """Returns parts that continue these, to be joined or dropped."""
        self.flush()
        other = ReadParts(self._source)
        other.sent, other.calls = self.sent, self.calls
        return other

    def join(self, other: "ReadParts") -> None:
        """Appends the parts of a fork."""
        self._parts += other.drain()
        self.sent, self.calls = other.sent, other.calls
