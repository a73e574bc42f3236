"""Values of arguments that are written as plain text, turned into JSON."""

import ast
import json
import re
from typing import NamedTuple

from llm_inference_api.text.families.form import Pairs, Pattern, Slot, Values
from llm_inference_api.text.families.reading.answer_source import Parsing, Source
from llm_inference_api.text.families.reading.argument_types import ArgumentType, parsed
from llm_inference_api.text.families.reading.loose_values import Write, escaped
from llm_inference_api.text.stop_strings import longest_stop_start

_MOST_DEPTH = 64
_JSON_STARTS = '{["-0123456789tfn'


def filled(pattern: Pattern, key: str) -> str:
    """Returns a pattern's text with the key at KEY."""
    return "".join(part if isinstance(part, str) else key if part is Slot.KEY else "" for part in pattern)


class ValueEnd:
    """The text that ends a value. A line break that it begins with may be missing."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.core = text.strip()
        self._space = text[: len(text) - len(text.lstrip())]
        self.starts = (self.core, self._space + self.core, *(["\n" + self.core] if "\n" in self._space else []))
        """Texts that the end may begin with."""

    def trimmed(self, value: str) -> str:
        """Returns what stands before the core without the white space that belongs to the end."""
        shorter = value.removesuffix(self._space)
        return value.removesuffix("\n") if shorter == value and "\n" in self._space else shorter


def until(source: Source, ends: list[ValueEnd], write: Write, nested: str = "") -> Parsing[bool]:
    """Takes the text up to an end, and the end.

    Args:
        source: The text.
        ends: The ends; the first that comes counts.
        write: Takes pieces of the text.
        nested: A text that begins another value with the same end within this one; empty if there is none.

    Returns:
        Whether an end has come. If not, what is left of the answer is the beginning of one.
    """
    starts = (*(start for end in ends for start in end.starts), *([nested] if nested else []))
    longest = max(map(len, starts), default=0)
    cores = {end.core: end for end in ends}
    texts = sorted([*cores, nested] if nested else cores, key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, texts)))
    depth = 0
    while True:
        at, found = source.search(pattern) if starts else (-1, "")
        if at >= 0 and (depth or found not in cores):
            depth += 1 if found not in cores else -1
            write(source.take(at + len(found)))
        elif at >= 0:
            value = cores[found].trimmed(source.slice(0, at))
            write(source.take(len(value)))
            source.take(at + len(found) - len(value))
            return True
        else:
            write(source.take(source.size - longest_stop_start(source.tail(longest), starts)))
            if source.final:
                return False
            yield


class _Nested(NamedTuple):
    """A pair within a value."""

    key: str
    value: str
    end: int
    """Index behind it."""


class TextValues:
    """Turns values of one form into JSON, by the types of a tool's schema and by the words of the form for types."""

    def __init__(self, pairs: Pairs) -> None:
        """Takes the form of the arguments."""
        at = pairs.pair.index(Slot.VALUE)
        self._head, self._tail = pairs.pair[:at], pairs.pair[at + 1 :]
        self._has_quotes = pairs.values is Values.JSON
        self._item = pairs.item
        self._string_words = frozenset(word for kind, word in pairs.kinds if kind == "string")

    def start(self, key: str) -> str:
        """Returns the text before a value within another; empty if values are not nested so."""
        return filled(self._head, key).strip() if self._item else ""

    def is_string(self, kind: ArgumentType, word: str) -> bool:
        """Returns whether a value is a string whatever it looks like, by its type and the word at KIND."""
        if self._has_quotes or (kind.names and "string" not in kind.names):
            return False
        return kind.is_string or word in self._string_words

    def json_of(self, text: str, kind: ArgumentType, word: str = "", *, is_complete: bool = True) -> str:
        """Returns a value as JSON; of one that the answer's end has cut, its beginning."""
        stripped = text.strip()
        if not is_complete:
            return stripped if stripped[:1] in _JSON_STARTS else f'"{escaped(text)}'
        if (nested := self._nested(stripped, kind, 0)) is not None:
            return nested
        is_told = bool(word) and word not in self._string_words
        for read in (_json, _python):
            try:
                value, found = read(stripped)
            except ValueError:
                continue
            if isinstance(value, str) and not self._has_quotes:
                break
            if is_told or kind.fits(value):
                return found
        return json.dumps(text, ensure_ascii=False)

    def _nested(self, text: str, kind: ArgumentType, depth: int) -> str | None:
        """Returns an object or array that is written as pairs; None if the text is none."""
        if not self._item or "string" in kind.names or depth == _MOST_DEPTH:
            return None
        if not text:
            return {frozenset({"array"}): "[]", frozenset({"object"}): "{}"}.get(kind.names)
        pairs, at = list[_Nested](), 0
        while at < len(text):
            pair = self._pair_at(text, at)
            if pair is None:
                return None
            pairs.append(pair)
            at = pair.end
            while text[at : at + 1].isspace():
                at += 1
        if all(pair.key == self._item for pair in pairs) and kind.names != {"object"}:
            return f"[{', '.join(self._inner(pair.value, kind.item, depth) for pair in pairs)}]"
        inner = (f"{json.dumps(one.key)}: {self._inner(one.value, kind.key(one.key), depth)}" for one in pairs)
        return f"{{{', '.join(inner)}}}"

    def _inner(self, text: str, kind: ArgumentType, depth: int) -> str:
        if kind.is_string:
            return json.dumps(text, ensure_ascii=False)
        nested = self._nested(text.strip(), kind, depth + 1)
        return self.json_of(text, kind) if nested is None else nested

    def _pair_at(self, text: str, at: int) -> _Nested | None:
        opening, closing = (filled(self._head, "\0").strip()).split("\0")
        end = text.find(closing, at + len(opening))
        key = text[at + len(opening) : end]
        if not text.startswith(opening, at) or end < 0 or not key or any(char in key for char in opening[-1:] + "/"):
            return None
        start, stop = self.start(key), filled(self._tail, key).strip()
        begin = end + len(closing)
        depth, here = 0, begin
        while True:
            close, inner = text.find(stop, here), text.find(start, here)
            if close < 0:
                return None
            if not depth and not 0 <= inner < close:
                return _Nested(key, text[begin:close], close + len(stop))
            depth += 1 if 0 <= inner < close else -1
            here = inner + len(start) if 0 <= inner < close else close + len(stop)


def _json(text: str) -> tuple[object, str]:
    return parsed(text), text


def _python(text: str) -> tuple[object, str]:
    try:
        value = ast.literal_eval(text)
        return value, json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(str(error)) from error
