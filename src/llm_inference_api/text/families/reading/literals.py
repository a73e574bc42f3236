"""Literal texts of a form, found in an answer with leniency about white space."""

import re
from enum import IntEnum

from llm_inference_api.text.families.reading.answer_source import Parsing, Source

_MOST_SPACE = 256
"""Characters of white space that are read in one place of a literal. A limit, since they are held meanwhile."""
_PUNCTUATION = "{}[](),:="
_SCAFFOLD = re.compile(r'"[^"]*"|["\s{}\[\](),:=]')
"""What data is written with, and markers are not: quoted keys, brackets, separators."""


class Miss(IntEnum):
    """Why a text was not found. Offsets are not negative."""

    NONE = -1
    """Other text is there."""
    CUT = -2
    """The answer ends within it."""


class Literal:
    """A literal text. White space may be there where the literal has some, and around the punctuation of data."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.core = text.strip()
        """The text without white space around it."""
        self._steps: list[tuple[str, bool]] = []
        """Each character that is no white space, and whether white space may stand before it."""
        before, spaced = "", False
        for char in text:
            if char.isspace():
                spaced = True
                continue
            self._steps.append((char, spaced or _is_loose(before, char)))
            before, spaced = char, False
        sizes = [at for at, (_, is_spaced) in enumerate(self._steps) if is_spaced and at]
        self.start = "".join(char for char, _ in self._steps[: sizes[0] if sizes else None])
        """The characters up to the first place where white space may stand."""

    def __bool__(self) -> bool:
        """Returns whether there is more than white space."""
        return bool(self.core)

    @property
    def is_marker(self) -> bool:
        """Whether there is more than what data is written with."""
        return bool(_SCAFFOLD.sub("", self.text))

    def match(self, source: Source, at: int = 0) -> Parsing[int]:
        """Returns the offset behind the literal, which is looked for at an offset; a `Miss` if it is not there."""
        for expected, spaced in self._steps:
            spaces = 0
            while True:
                if not (yield from source.has(at)):
                    return Miss.CUT
                char = source.char(at)
                at += 1
                if char == expected:
                    break
                spaces += 1
                if not (spaced and char.isspace() and spaces <= _MOST_SPACE):
                    return Miss.NONE
        return at


def skip_space(source: Source, at: int) -> Parsing[int]:
    """Returns the offset behind white space."""
    for offset in range(at, at + _MOST_SPACE):
        if not (yield from source.has(offset)) or not source.char(offset).isspace():
            return offset
    return at + _MOST_SPACE


def _is_loose(before: str, char: str) -> bool:
    """Returns whether white space may stand between two characters, since data is written with them."""
    data = _PUNCTUATION + '"'
    return (before in _PUNCTUATION and char in data) or (char in _PUNCTUATION and before in data)
