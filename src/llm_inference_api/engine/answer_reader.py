"""Reads an answer as it comes: what the model thinks, what it says, and which tools it calls.

Nothing is lost: text that looks like a call and is none is handed on as content.
"""

import json
import secrets
import string
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from llm_inference_api.engine.output import longest_stop_start
from llm_inference_api.engine.tool_format import (
    ARGS,
    PYTHON_TAG,
    THINK,
    THINK_END,
    TOOL_CALL,
    TOOL_CALL_END,
    TOOL_CALLS,
    ToolFormat,
)
from llm_inference_api.engine.tools import ToolCall, ToolUse

_ID_ALPHABET = string.ascii_letters + string.digits
_ID_LENGTH = 9
"""Mistral's templates refuse ids of any other length."""


class Thought(NamedTuple):
    """Text that the model thinks."""

    text: str


class Said(NamedTuple):
    """Text that the model says."""

    text: str


Piece = Thought | Said | ToolCall


class Reader(Protocol):
    """Takes an answer's text apart."""

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
            return MarkedReader(names, TOOL_CALL, TOOL_CALL_END, _hermes_calls)
        case ToolFormat.MISTRAL | ToolFormat.MISTRAL_ARGS:
            return MarkedReader(names, TOOL_CALLS, None, _mistral_calls)
        case ToolFormat.LLAMA:
            return WholeReader(names)


class PlainReader:
    """Takes all text for content."""

    def add(self, text: str, *, final: bool) -> list[Piece]:  # noqa: ARG002 - nothing is ever held back
        """See `Reader.add`."""
        return [Said(text)] if text else []


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
        self,
        names: frozenset[str],
        opening: str,
        closing: str | None,
        calls: Callable[[str], list[tuple[str, object]]],
    ) -> None:
        """Takes what returns the (name, arguments) pairs of a marked text, raising ValueError where it holds none."""
        self._names = names
        self._opening = opening
        self._closing = closing
        self._calls = calls
        self._inside = False
        self._held = ""
        self._space = ""
        """White space that is only said if words follow."""
        self._called = False

    def add(self, text: str, *, final: bool) -> list[Piece]:
        """See `Reader.add`."""
        self._held += text
        return [*self._pieces(final=final), *(self._last_space() if final else ())]

    def _pieces(self, *, final: bool) -> Iterator[Piece]:
        while True:
            marker = self._closing if self._inside else self._opening
            before, found, after = self._held.partition(marker) if marker else (self._held, "", "")
            if not found:
                break
            yield from self._read(before, found) if self._inside else self._say(before)
            self._inside, self._held = not self._inside, after
        if self._inside:
            if final:
                yield from self._read(self._held, "")
            return
        cut = len(self._held) - (0 if final else longest_stop_start(self._held, (self._opening,)))
        words, self._held = self._held[:cut], self._held[cut:]
        yield from self._say(words)

    def _read(self, marked: str, end: str) -> Iterator[Piece]:
        calls = tool_calls(self._calls, marked, self._names)
        self._called = self._called or bool(calls)
        if calls:
            yield from calls
        else:
            yield Said(f"{self._space}{self._opening}{marked}{end}")
        self._space = ""

    def _say(self, words: str) -> Iterator[Piece]:
        words = self._space + words
        kept = words.rstrip()
        self._space = words[len(kept) :]
        if kept:
            yield Said(kept)

    def _last_space(self) -> Iterator[Piece]:
        if self._space and not self._called:
            yield Said(self._space)


class WholeReader:
    """Takes an answer that begins like a JSON object for calls, once it is complete."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        self._held = ""
        self._is_words = False

    def add(self, text: str, *, final: bool) -> list[Piece]:
        """See `Reader.add`."""
        if self._is_words:
            return [Said(text)] if text else []
        self._held += text
        begun = self._held.lstrip()
        may_call = begun.startswith(("{", PYTHON_TAG)) or PYTHON_TAG.startswith(begun)
        if may_call and not final:
            return []
        self._is_words = True
        calls = tool_calls(_llama_calls, begun, self._names)
        return [*calls] if calls else [Said(self._held)] if self._held else []


def tool_calls(calls: Callable[[str], list[tuple[str, object]]], text: str, names: frozenset[str]) -> list[ToolCall]:
    """Returns the calls that a text holds; none where it is anything but calls of these tools."""
    try:
        found = calls(text)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []
    if not all(name in names and isinstance(arguments, dict) for name, arguments in found):
        return []
    return [ToolCall(_new_id(), name, json.dumps(arguments, ensure_ascii=False)) for name, arguments in found]


def _hermes_calls(text: str) -> list[tuple[str, object]]:
    call = json.loads(text)
    return [(call["name"], call.get("arguments", {}))]


def _mistral_calls(text: str) -> list[tuple[str, object]]:
    if text.lstrip().startswith("["):
        return [(call["name"], call.get("arguments", {})) for call in json.loads(text)]
    found = []
    for part in text.split(TOOL_CALLS):
        name, _, arguments = part.partition(ARGS)
        found.append((name.strip(), json.loads(arguments)))
    return found


def _llama_calls(text: str) -> list[tuple[str, object]]:
    text = text.removeprefix(PYTHON_TAG)
    decoder, found, at = json.JSONDecoder(), [], 0
    while at < len(text):
        call, at = decoder.raw_decode(text, at)
        found.append((call["name"], call["parameters"] if "parameters" in call else call.get("arguments", {})))
        at += len(text[at:]) - len(text[at:].lstrip("; \n"))
    return found


def _new_id() -> str:
    return "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH))
