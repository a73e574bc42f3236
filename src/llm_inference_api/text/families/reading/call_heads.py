"""The beginnings of tool calls in one form: up to their arguments, which show that they are calls."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from llm_inference_api.text.families.form import CallForm, Pattern, Slot
from llm_inference_api.text.families.reading.answer_source import Parsing, Source
from llm_inference_api.text.families.reading.argument_pairs import PairsReader
from llm_inference_api.text.families.reading.literals import Literal, Miss, skip_space

_LONGEST_ID = 128
_KEYS = ('"arguments"', '"parameters"')
"""Keys that models confuse."""


class BegunCall(NamedTuple):
    """The beginning of a call."""

    head: "CallHead"
    name: str
    identity: str
    """The id; empty if none stands there."""
    end: int
    """Offset of the arguments, or of the answer's end."""
    is_cut: bool = False
    """Whether the answer ends before the arguments."""


class CallHead:
    """A way in which calls begin."""

    def __init__(self, before: str, pattern: Pattern, calls: CallForm) -> None:
        """Takes the text before the call, and the call's pattern."""
        at = pattern.index(Slot.ARGUMENTS)
        merged = _merged((before, " " if before else "", *pattern[:at]))
        self.parts = [Literal(part) if isinstance(part, str) else part for part in merged]
        first = self.parts[0]
        self.start = first.start if isinstance(first, Literal) else ""
        """Characters that it begins with; empty if any."""
        self.is_marker = isinstance(first, Literal) and first.is_marker
        """Whether it begins with more than what data is written with, so that it is a call wherever it stands."""
        self.tail = pattern[at + 1 :]
        ending = "".join(part for part in self.tail if isinstance(part, str))
        self.pairs = PairsReader(calls.arguments, ending) if calls.arguments else None
        self._id_of = calls.id_of

    def may_begin_with(self, char: str, names: frozenset[str]) -> bool:
        """Returns whether a call may begin with this character, which is no white space."""
        return char == self.start[0] if self.start else any(name.startswith(char) for name in names)

    def match(self, source: Source, names: frozenset[str]) -> Parsing[BegunCall | Miss]:
        """Returns the call that begins at the first offset."""
        at, found = 0, dict[Slot, str]()
        name_end = 0
        for index, part in enumerate(self.parts):
            if isinstance(part, Literal):
                end = yield from part.match(source, at)
            else:
                at = yield from skip_space(source, at)
                end = yield from self._slot(source, at, index, names)
                found.setdefault(part, source.slice(at, max(end, at)))
                name_end = end if part is Slot.NAME else name_end
            if end == Miss.CUT and 0 < name_end < source.size:
                return self._begun(found, source.size, is_cut=True)
            if end < 0:
                return Miss(end)
            at = end
        at = yield from skip_space(source, at)
        end = yield from self._arguments(source, at)
        if end == Miss.CUT and name_end < source.size:
            return self._begun(found, source.size, is_cut=True)
        return self._begun(found, at) if end >= 0 else Miss(end)

    def _arguments(self, source: Source, at: int) -> Parsing[int]:
        if self.pairs:
            return (yield from self.pairs.begins(source, at))
        if not (yield from source.has(at)):
            return Miss.CUT
        return at if source.char(at) == "{" else Miss.NONE

    def _slot(self, source: Source, at: int, index: int, names: frozenset[str]) -> Parsing[int]:
        slot = self.parts[index]
        if slot is Slot.NAME:
            return (yield from _name(source, at, names))
        following = self.parts[index + 1] if index + 1 < len(self.parts) else None
        stop = following.core[:1] if isinstance(following, Literal) else "{"
        for end in range(at, at + _LONGEST_ID):
            if not (yield from source.has(end)):
                return Miss.CUT
            char = source.char(end)
            if char == stop or char.isspace():
                return end if end > at else Miss.NONE
            if slot is Slot.INDEX and not char.isdecimal():
                return Miss.NONE
        return Miss.NONE

    def _begun(self, found: dict[Slot, str], end: int, *, is_cut: bool = False) -> BegunCall:
        made = (part if isinstance(part, str) else found.get(part, "") for part in self._id_of)
        return BegunCall(self, found[Slot.NAME], found.get(Slot.ID, "") or "".join(made), end, is_cut)


def call_heads(calls: CallForm, befores: Iterable[str]) -> list[CallHead]:
    """Returns the ways in which calls begin after one of the given texts."""
    patterns = list(dict.fromkeys(other for pattern in (calls.call, *calls.others) for other in _variants(pattern)))
    return [CallHead(before, pattern, calls) for before in dict.fromkeys(befores) for pattern in patterns]


def _variants(pattern: Pattern) -> list[Pattern]:
    """Returns the pattern, and how models write it that leave out the first marker or the id, or confuse keys."""
    found = [pattern]
    first, rest = pattern[0], pattern[1:]
    marker, space, others = first.partition("\n") if isinstance(first, str) else ("", "", "")
    if space and Literal(marker).is_marker and Literal(others).is_marker:
        found.append((others, *rest))
    name, arguments = pattern.index(Slot.NAME), pattern.index(Slot.ARGUMENTS)
    if Slot.ID in pattern[name:arguments]:
        at = pattern.index(Slot.ID)
        found.append((*pattern[: at - isinstance(pattern[at - 1], str)], *pattern[at + 1 :]))
    for key, other in (_KEYS, _KEYS[::-1]):
        if any(isinstance(part, str) and key in part for part in pattern[:arguments]):
            swapped = (part.replace(key, other) if isinstance(part, str) else part for part in pattern[:arguments])
            found.append((*swapped, *pattern[arguments:]))
    return found


def _merged(pattern: Sequence[str | Slot]) -> list[str | Slot]:
    """Returns the pattern with neighbouring literals joined, and without those that are empty."""
    found: list[str | Slot] = []
    for part in pattern:
        if isinstance(part, str) and found and isinstance(found[-1], str):
            found[-1] += part
        elif part:
            found.append(part)
    return found


def _name(source: Source, at: int, names: frozenset[str]) -> Parsing[int]:
    """Returns the offset behind the longest name that stands at an offset."""
    longest, end, left = Miss.NONE + 0, at, names
    while left:
        if not (yield from source.has(end)):
            return Miss.CUT
        char = source.char(end)
        left = frozenset(name for name in left if len(name) > end - at and name[end - at] == char)
        end += 1
        if any(len(name) == end - at for name in left):
            longest = end
            left = frozenset(name for name in left if len(name) > end - at)
    return longest
