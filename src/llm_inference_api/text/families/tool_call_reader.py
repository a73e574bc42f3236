"""Incremental parsers of tool calls, one for each way of marking them.

No text is lost: what looks like a tool call but is not a valid one becomes content.
"""

import itertools
import re
import secrets
import string
from collections.abc import Generator, Iterator

from llm_inference_api.requests.events import CallPart, Text
from llm_inference_api.requests.tools import ToolUse
from llm_inference_api.text.families.reader import Markup, Part, PlainReader, Reader
from llm_inference_api.text.families.tool_format import (
    ARGS,
    PYTHON_TAG,
    TOOL_CALL,
    TOOL_CALL_END,
    TOOL_CALLS,
    ToolFormat,
)
from llm_inference_api.text.stop_strings import longest_stop_start

_ID_ALPHABET = string.ascii_letters + string.digits
_ID_LENGTH = 9
"""Length that Mistral's templates require."""


def tool_call_reader(form: ToolFormat, use: ToolUse | None) -> Reader:
    """Returns a parser of the calls of one answer; without tools, all text is content."""
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


class MarkedReader:
    """Reads calls between two markers, or after one marker up to the end."""

    def __init__(
        self, names: frozenset[str], opening: str, closing: str | None, call: re.Pattern[str], *, inside: bool = False
    ) -> None:
        """Creates a reader for one answer.

        Args:
            names: Names of the tools that may be called.
            opening: Marker before calls.
            closing: Marker after calls; None if calls extend to the end of the answer.
            call: Pattern of a call up to its arguments, with the group `name`.
            inside: Whether the answer starts after the opening marker.
        """
        self._names = names
        self._opening = opening
        self._closing = closing
        self._call = call
        self._numbers = itertools.count()
        """Indexes of the calls."""
        self._section: Section | None = self._new_section() if inside else None
        self._held = ""
        self._space = ""
        """Trailing white space, emitted only if text follows."""
        self._called = False

    def add(self, text: str, *, final: bool) -> list[Part]:
        """See `Reader.add`."""
        self._held += text
        parts = [*self._pieces(final=final)]
        if final and self._space:
            parts.append(Markup(len(self._space)) if self._called else Text(self._space))
        return parts

    def _pieces(self, *, final: bool) -> Iterator[Part]:
        going = True
        while going:
            if self._section is None:
                going = yield from self._outside(final=final)
            else:
                going = yield from self._inside(self._section, final=final)

    def _outside(self, *, final: bool) -> Generator[Part, None, bool]:
        """Yields the text before the next opening marker; returns whether there is more to parse."""
        words, opened, after = self._held.partition(self._opening)
        if opened:
            yield from self._emit(words)
            self._section, self._held = self._new_section(), after
            return True
        cut = len(self._held) - (0 if final else longest_stop_start(self._held, (self._opening,)))
        words, self._held = self._held[:cut], self._held[cut:]
        yield from self._emit(words)
        return False

    def _inside(self, section: "Section", *, final: bool) -> Generator[Part, None, bool]:
        """Yields the section's calls, or its text if it has none; returns whether there is more to parse."""
        was_called = section.called
        pieces, self._held = section.read(self._held)
        if section.called and not was_called:
            yield Markup(len(self._space) + len(self._opening))
            self._space, self._called = "", True
        yield from pieces
        if section.in_arguments:
            return False
        between, closed, after = self._held.partition(self._closing) if self._closing else (self._held, "", "")
        if not closed and not final:
            return False
        self._section, self._held = None, after
        if section.called:
            yield from _left(between, closed)
        elif text := f"{self._space}{self._opening}{between}{closed}":
            yield Text(text)
        self._space = ""
        return bool(closed)

    def _new_section(self) -> "Section":
        return Section(self._names, self._call, self._numbers)

    def _emit(self, words: str) -> Iterator[Part]:
        words = self._space + words
        kept = words.rstrip()
        self._space = words[len(kept) :]
        if kept:
            yield Text(kept)


class Section:
    """Parser of the calls after one opening marker."""

    def __init__(self, names: frozenset[str], call: re.Pattern[str], numbers: Iterator[int]) -> None:
        self._names = names
        self._call = call
        self._numbers = numbers
        self._number = 0
        """Index of the last call that has started."""
        self._end: ObjectEnd | None = None
        self.called = False
        """Whether a call has started."""

    @property
    def in_arguments(self) -> bool:
        """Whether the arguments of a call are incomplete."""
        return self._end is not None

    def read(self, text: str) -> tuple[list[Part], str]:
        """Returns the parsed pieces of the text, and the rest that is not part of a call yet."""
        pieces: list[Part] = []
        while text:
            if self._end is None:
                found = self._call.match(text)
                if found is None or found["name"] not in self._names:
                    break
                self._number = next(self._numbers)
                pieces += [Markup(found.end()), CallPart(self._number, _new_id(), found["name"])]
                text, self._end, self.called = text[found.end() :], ObjectEnd(), True
            else:
                size = self._end.find(text)
                pieces.append(CallPart(self._number, arguments=text[:size]))
                self._end = None if self._end.found else self._end
                text = text[size:]
        return pieces, text


class ObjectEnd:
    """Finds the end of a JSON object that arrives in parts, by counting braces outside strings."""

    def __init__(self) -> None:
        self.found = False
        self._depth = 0
        self._in_text = False
        self._escaped = False

    def find(self, part: str) -> int:
        """Returns the number of the part's characters that belong to the object; sets `found` at its end."""
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
    """Reads calls without a marker: an answer that starts with `{` or `<|python_tag|>` consists of calls."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        self._held = ""
        self._rest: Reader | None = None

    def add(self, text: str, *, final: bool) -> list[Part]:
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
            space = len(self._held) - len(begun)
            parts = self._rest.add(begun.removeprefix(opening), final=final)
            return [Markup(space), *parts] if space else parts
        self._rest = PlainReader()
        return self._rest.add(self._held, final=final)


def _left(between: str, closed: str) -> Iterator[Part]:
    """Yields what stands behind the last call of a section: text, without the separators around it."""
    after_start = between.lstrip(_BETWEEN)
    text = after_start.rstrip(_BETWEEN)
    if start := len(between) - len(after_start):
        yield Markup(start)
    if text:
        yield Text(text)
    if end := len(after_start) - len(text) + len(closed):
        yield Markup(end)


_BETWEEN = " \t\r\n,;[]}"
"""Separators between and after calls."""
_JSON_CALL = re.compile(
    r'[\s,;\[\]}]*\{\s*"name"\s*:\s*"(?P<name>[^"\\]*)"\s*,\s*"(?:arguments|parameters)"\s*:\s*(?=\{)'
)
_MISTRAL_CALL = re.compile(rf"(?:{re.escape(TOOL_CALLS)})?\s*(?P<name>[\w-]+){re.escape(ARGS)}\s*(?=\{{)")


def _new_id() -> str:
    return "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH))
