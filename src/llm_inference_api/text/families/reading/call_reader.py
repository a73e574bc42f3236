"""Incremental parser of tool calls in the form of any family.

No text is lost: what looks like a call but is not a valid one is no call.
"""

import re
import secrets
import string

from llm_inference_api.requests.tools import ToolUse
from llm_inference_api.text.families.form import CallForm, Slot
from llm_inference_api.text.families.reading.answer_source import Parsing, ReadParts, Source
from llm_inference_api.text.families.reading.argument_types import ArgumentType
from llm_inference_api.text.families.reading.call_heads import BegunCall, CallHead, call_heads
from llm_inference_api.text.families.reading.literals import Literal, Miss, skip_space
from llm_inference_api.text.families.reading.loose_values import Write

_ID_ALPHABET = string.ascii_letters + string.digits
_ID_LENGTH = 9
"""Length that Mistral's templates require."""
_SEPARATOR = re.compile(r"\s+|[,;\]}]")
"""What models write between and after calls."""
_CHUNK = re.compile(r'[\s}\])",:]+|[^\s}\])",:]\S*')
"""Brackets of data, or a marker."""


class CallReader:
    """Reads calls, and knows where they may begin."""

    def __init__(self, calls: CallForm, use: ToolUse, source: Source) -> None:
        """Creates a reader for one answer."""
        self._tools = {tool.name: tool for tool in use.callable}
        self._names = frozenset(self._tools)
        self._source = source
        bare = [head for head in call_heads(calls, [""]) if calls.may_omit_opening or head.is_marker]
        self._outside = [*call_heads(calls, [calls.opening]), *(bare if calls.opening else [])]
        self._inside = call_heads(calls, ["", calls.separator] if calls.separator.strip() else [""])
        chunks = _CHUNK.findall(calls.closing)
        markers = [chunk for chunk in chunks if Literal(chunk).is_marker]
        self._section = [Literal(text) for text in dict.fromkeys((" ".join(chunks), " ".join(markers))) if text.strip()]
        """What ends a section, with its brackets of data or without."""
        self._has_sections = bool(calls.opening.strip() or calls.closing.strip() or calls.separator.strip())
        self._in_section = False
        self._awaited: list[Literal] = []
        """Markers behind a call that have not come, since the model wrote something else in their place."""

    @property
    def _heads(self) -> list[CallHead]:
        return [*self._outside, *(self._inside if self._in_section else [])]

    @property
    def closings(self) -> list[Literal]:
        """What may stand behind the last call."""
        return [*self._awaited, *(self._section if self._in_section else ())]

    @property
    def starts(self) -> list[str]:
        """First characters of what stands out of any text: calls with markers, and markers behind calls."""
        closings = [closing.start for closing in self.closings if closing.is_marker]
        return [*(head.start for head in self._heads if head.is_marker), *closings]

    @property
    def state(self) -> tuple[bool, tuple[Literal, ...]]:
        """What follows the last call, to which the reader can be set back. `starts` changes with it only."""
        return self._in_section, tuple(self._awaited)

    @state.setter
    def state(self, state: tuple[bool, tuple[Literal, ...]]) -> None:
        self._in_section, self._awaited = state[0], [*state[1]]

    def at_start(self, *, anywhere: bool) -> Parsing[BegunCall | Miss]:
        """Returns the call that begins at the first offset.

        Args:
            anywhere: Whether text stands before, so that only a marker begins a call.
        """
        miss = Miss.NONE
        if not (yield from self._source.has(0)):
            return Miss.CUT
        for head in self._heads:
            if (anywhere and not head.is_marker) or not head.may_begin_with(self._source.char(), self._names):
                continue
            found = yield from head.match(self._source, self._names)
            if isinstance(found, BegunCall):
                return found
            miss = min(miss, found)
        return miss

    def closing_at_start(self, *, anywhere: bool) -> Parsing[Miss | int]:
        """Returns the size of a marker behind calls, which counts as read; a `Miss` if there is none.

        Args:
            anywhere: Whether text stands before, so that brackets of data close nothing.
        """
        miss = Miss.NONE
        for closing in self.closings:
            if anywhere and not closing.is_marker:
                continue
            size = yield from closing.match(self._source)
            if size > 0:
                self._in_section = self._in_section and closing not in self._section
                self._awaited = [literal for literal in self._awaited if literal is not closing]
                return size
            miss = min(miss, Miss(size))
        return miss

    def read(self, begun: BegunCall, parts: ReadParts) -> Parsing[None]:
        """Reads a call, whose beginning is at the first offset, up to the marker behind it.

        Where the answer ends within the call, the arguments so far are kept, and what is left of markers is dropped.
        """
        self._awaited, self._in_section = [], self._has_sections
        source, held, is_late = self._source, list[str](), Slot.ID in begun.head.tail
        source.take(begun.end)
        if not is_late:
            parts.begin_call(begun.identity or _new_id(), begun.name)
        write = held.append if is_late else parts.add_arguments
        is_complete = not begun.is_cut and (yield from self._arguments(begun, write))
        identity = ""
        if is_complete:
            identity = (yield from self._id(begun)) if is_late else ""
            yield from self._tail("".join(part for part in begun.head.tail[-1:] if isinstance(part, str)))
        else:
            source.take(source.size)
        if is_late:
            parts.begin_call(identity or _new_id(), begun.name)
            parts.add_arguments("".join(held))
        parts.flush()

    def separator(self) -> str:
        """Takes white space, or a character that models write between and after calls; empty if there is none."""
        return self._source.take(self._source.run(_SEPARATOR))

    def _arguments(self, begun: BegunCall, write: Write) -> Parsing[bool]:
        """Reads arguments; returns False if the answer ends within them."""
        if begun.head.pairs:
            kind = ArgumentType.of_arguments(self._tools[begun.name].parameters)
            return (yield from begun.head.pairs.read(self._source, write, kind))
        end = _ObjectEnd()
        while not end.found:
            if not (yield from self._source.has(0)):
                return False
            write(self._source.take(end.find(self._source.slice(0, self._source.size))))
        return True

    def _id(self, begun: BegunCall) -> Parsing[str]:
        """Takes an id that stands behind the arguments; empty if there is none."""
        tail, source = begun.head.tail, self._source
        before = Literal("".join(part for part in tail[: tail.index(Slot.ID)] if isinstance(part, str)))
        at = yield from before.match(source)
        if at < 0:
            source.take(source.size if at == Miss.CUT else 0)
            return ""
        start = at = yield from skip_space(source, at)
        while (yield from source.has(at)) and (source.char(at).isalnum() or source.char(at) in "_.:-"):
            at += 1
        identity = source.slice(start, at)
        source.take(at)
        return identity

    def _tail(self, text: str) -> Parsing[None]:
        """Takes the text behind a call's arguments. Brackets that the model has left out are not missed."""
        source = self._source
        left = [Literal(chunk) for chunk in _CHUNK.findall(text) if chunk.strip()]
        while left:
            yield from source.skip_space()
            size = yield from left[0].match(source)
            if size == Miss.CUT:
                source.take(source.size)
                return
            if size > 0:
                source.take(size)
            elif left[0].is_marker:
                break
            left.pop(0)
        self._awaited = [literal for literal in left if literal.is_marker]


class _ObjectEnd:
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


def _new_id() -> str:
    return "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH))
