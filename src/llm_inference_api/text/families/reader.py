"""Reads an answer as it comes: what the model thinks, what it says, and which tools it calls.

Nothing is lost: text that looks like a call and is none is handed on as content.
"""

import itertools
import re
import secrets
import string
from collections.abc import Generator, Iterator
from typing import Protocol

from llm_inference_api.requests.events import CallPart, Piece, Text, Thought
from llm_inference_api.requests.tools import ToolUse
from llm_inference_api.text.families.tool_format import (
    ARGS,
    PYTHON_TAG,
    THINK,
    THINK_END,
    TOOL_CALL,
    TOOL_CALL_END,
    TOOL_CALLS,
    ToolFormat,
)
from llm_inference_api.text.stop_strings import longest_stop_start

_ID_ALPHABET = string.ascii_letters + string.digits
_ID_LENGTH = 9
"""Mistral's templates refuse ids of any other length."""


class Reader(Protocol):
    """Takes an answer's text apart. A call comes without its arguments, which follow as the model writes them."""

    def add(self, text: str, *, final: bool) -> list[Piece]:
        """Returns what is known once this text has come; with `final`, all that is left."""


def reader(form: ToolFormat, use: ToolUse | None, *, opens_thoughts: bool) -> Reader:
    """Returns a reader for the answer of a model with this format to a request with these tools."""
    return ThoughtReader(_tool_reader(form, use), thinking=opens_thoughts)


def _tool_reader(form: ToolFormat, use: ToolUse | None) -> Reader:
    if use is None:
        return PlainReader()
    names = frozenset(tool.name for tool in use.callable)
    match form:
        case ToolFormat.HERMES | ToolFormat.GENERIC:
            return MarkedReader(names, TOOL_CALL, TOOL_CALL_END, _JSON_CALL)
        case ToolFormat.MISTRAL:
            return MarkedReader(names, TOOL_CALLS, None, _JSON_CALL)
        case ToolFormat.MISTRAL_ARGS:
            return MarkedReader(names, TOOL_CALLS, None, _MISTRAL_CALL)
        case ToolFormat.LLAMA:
            return BareReader(names)


class PlainReader:
    """Takes all text for content."""

    def add(self, text: str, *, final: bool) -> list[Piece]:  # noqa: ARG002 - nothing is ever held back
        """See `Reader.add`."""
        return [Text(text)] if text else []


class ThoughtReader:
    """Takes what stands between `<think>` and `</think>` at the beginning for thoughts; another reader has the rest.

    The line breaks around the markers belong to them.
    """

    def __init__(self, rest: Reader, *, thinking: bool) -> None:
        """Takes whether the answer begins inside the thoughts."""
        self._rest = rest
        self._step = self._think if thinking else self._begin
        self._held = ""
        self._at_start = True
        """Whether line breaks still belong to the marker before."""

    def add(self, text: str, *, final: bool) -> list[Piece]:
        """See `Reader.add`."""
        self._held += text
        return self._step(final)

    def _begin(self, final: bool) -> list[Piece]:  # noqa: FBT001 - a step
        begun = self._held.lstrip()
        if begun.startswith(THINK):
            self._held, self._step = begun.removeprefix(THINK), self._think
            return self._think(final)
        if THINK.startswith(begun) and not final:
            return []
        self._at_start, self._step = False, self._hand_on
        return self._hand_on(final)

    def _think(self, final: bool) -> list[Piece]:  # noqa: FBT001 - a step
        self._skip_line_breaks()
        thought, end, after = self._held.partition(THINK_END)
        if end:
            self._held, self._at_start, self._step = after, True, self._hand_on
            thought = thought.rstrip("\n")
            return [*([Thought(thought)] if thought else []), *self._hand_on(final)]
        keep = 0 if final else longest_stop_start(self._held, (THINK_END, f"\n{THINK_END}", f"\n\n{THINK_END}"))
        cut = len(self._held) - keep
        thought, self._held = self._held[:cut], self._held[cut:]
        return [Thought(thought)] if thought else []

    def _hand_on(self, final: bool) -> list[Piece]:  # noqa: FBT001 - a step
        self._skip_line_breaks()
        held, self._held = self._held, ""
        return self._rest.add(held, final=final)

    def _skip_line_breaks(self) -> None:
        if self._at_start:
            self._held = self._held.lstrip("\n")
            self._at_start = not self._held


class MarkedReader:
    """Finds calls between two markers, or after one."""

    def __init__(
        self, names: frozenset[str], opening: str, closing: str | None, call: re.Pattern[str], *, inside: bool = False
    ) -> None:
        """Takes what a call looks like up to its arguments, and whether the answer begins behind the marker."""
        self._names = names
        self._opening = opening
        self._closing = closing
        self._call = call
        self._numbers = itertools.count()
        """Of the calls."""
        self._section: Section | None = self._new_section() if inside else None
        self._held = ""
        self._space = ""
        """White space that is only said if words follow."""
        self._called = False

    def add(self, text: str, *, final: bool) -> list[Piece]:
        """See `Reader.add`."""
        self._held += text
        pieces = [*self._pieces(final=final)]
        if final and self._space and not self._called:
            pieces.append(Text(self._space))
        return pieces

    def _pieces(self, *, final: bool) -> Iterator[Piece]:
        going = True
        while going:
            if self._section is None:
                going = yield from self._outside(final=final)
            else:
                going = yield from self._inside(self._section, final=final)

    def _outside(self, *, final: bool) -> Generator[Piece, None, bool]:
        """Returns whether there is more to read now; what is yielded is said."""
        words, opened, after = self._held.partition(self._opening)
        if opened:
            yield from self._say(words)
            self._section, self._held = self._new_section(), after
            return True
        cut = len(self._held) - (0 if final else longest_stop_start(self._held, (self._opening,)))
        words, self._held = self._held[:cut], self._held[cut:]
        yield from self._say(words)
        return False

    def _inside(self, section: "Section", *, final: bool) -> Generator[Piece, None, bool]:
        pieces, self._held = section.read(self._held)
        self._called = self._called or section.called
        yield from pieces
        if section.in_arguments:
            return False
        between, closed, after = self._held.partition(self._closing) if self._closing else (self._held, "", "")
        if not closed and not final:
            return False
        self._section, self._held = None, after
        if not section.called:
            yield Text(f"{self._space}{self._opening}{between}{closed}")
        elif left := between.strip(_BETWEEN):
            yield Text(left)
        self._space = ""
        return bool(closed)

    def _new_section(self) -> "Section":
        return Section(self._names, self._call, self._numbers)

    def _say(self, words: str) -> Iterator[Piece]:
        words = self._space + words
        kept = words.rstrip()
        self._space = words[len(kept) :]
        if kept:
            yield Text(kept)


class Section:
    """The calls of one marked text."""

    def __init__(self, names: frozenset[str], call: re.Pattern[str], numbers: Iterator[int]) -> None:
        self._names = names
        self._call = call
        self._numbers = numbers
        self._number = 0
        """Of the call that has begun last."""
        self._end: ObjectEnd | None = None
        self.called = False
        """Whether a call has begun."""

    @property
    def in_arguments(self) -> bool:
        """Whether the arguments of a call have begun and not ended."""
        return self._end is not None

    def read(self, text: str) -> tuple[list[Piece], str]:
        """Returns the pieces that the text holds for sure, and the rest of the text."""
        pieces: list[Piece] = []
        while text:
            if self._end is None:
                found = self._call.match(text)
                if found is None or found["name"] not in self._names:
                    break
                self._number = next(self._numbers)
                pieces.append(CallPart(self._number, _new_id(), found["name"]))
                text, self._end, self.called = text[found.end() :], ObjectEnd(), True
            else:
                size = self._end.find(text)
                pieces.append(CallPart(self._number, arguments=text[:size]))
                self._end = None if self._end.found else self._end
                text = text[size:]
        return pieces, text


class ObjectEnd:
    """Finds the end of a JSON object that comes in parts, by its braces outside texts."""

    def __init__(self) -> None:
        self.found = False
        self._depth = 0
        self._in_text = False
        self._escaped = False

    def find(self, part: str) -> int:
        """Returns how many characters of the part belong to the object."""
        for at, character in enumerate(part):
            if self._escaped:
                self._escaped = False
            elif self._in_text:
                self._escaped, self._in_text = character == "\\", character != '"'
            elif character == '"':
                self._in_text = True
            else:
                self._depth += (character == "{") - (character == "}")
                if self._depth == 0:
                    self.found = True
                    return at + 1
        return len(part)


class BareReader:
    """Finds calls that stand alone, without a marker: an answer that begins like one is calls to its end."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        self._held = ""
        self._rest: Reader | None = None

    def add(self, text: str, *, final: bool) -> list[Piece]:
        """See `Reader.add`."""
        if self._rest is not None:
            return self._rest.add(text, final=final)
        self._held += text
        begun = self._held.lstrip()
        if not final and (not begun or (len(begun) < len(PYTHON_TAG) and PYTHON_TAG.startswith(begun))):
            return []
        opening = PYTHON_TAG if begun.startswith(PYTHON_TAG) else ""
        if begun.startswith(("{", PYTHON_TAG)):
            self._rest = MarkedReader(self._names, opening, None, _JSON_CALL, inside=True)
            return self._rest.add(begun.removeprefix(opening), final=final)
        self._rest = PlainReader()
        return self._rest.add(self._held, final=final)


_BETWEEN = " \t\r\n,;[]}"
"""What stands between calls and after the last one."""
_JSON_CALL = re.compile(
    r'[\s,;\[\]}]*\{\s*"name"\s*:\s*"(?P<name>[^"\\]*)"\s*,\s*"(?:arguments|parameters)"\s*:\s*(?=\{)'
)
_MISTRAL_CALL = re.compile(rf"(?:{re.escape(TOOL_CALLS)})?\s*(?P<name>[\w-]+){re.escape(ARGS)}\s*(?=\{{)")


def _new_id() -> str:
    return "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH))
