"""Values that are written nearly as JSON, such as Python literals, turned into JSON while they arrive."""

import json
import re
from collections.abc import Callable

from llm_inference_api.text.families.reading.answer_source import Parsing, Source
from llm_inference_api.text.stop_strings import longest_stop_start

Write = Callable[[str], None]
"""Takes a piece of JSON text."""
_MOST_DEPTH = 200
_CLOSING = {"[": "]", "(": "]", "{": "}"}
"""Closing brackets of JSON by opening brackets of Python."""
_ENDS = ",]})"
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
_PREFIXES = frozenset({"r", "b", "u", "f", "rb", "br", "fr", "rf"})
"""What may stand before a Python string."""
_ESCAPES = {
    **{char: f"\\{char}" for char in '"\\bfnrt'},
    "a": "\\u0007",
    "v": "\\u000b",
    "0": "\\u0000",
    "'": "'",
    "/": "/",
    "\n": "",
}
"""JSON for the escapes of Python and JSON."""
_HALF = re.compile("(0000)?[dD][89a-fA-F][0-9A-Fa-f]{2}")
"""Codes of the halves of characters beyond 16 bits (UTF-16's surrogates), of which no text has one alone."""
_FIRST_HALF = re.compile("(0000)?[dD][89abAB].*")
_SECOND_HALF = re.compile(r"\\u[dD][c-fC-F][0-9A-Fa-f]{2}")
_NO_CHARACTER = "\ufffd"
"""Stands for half a character."""
_PLAIN = re.compile(r'[^"\'\\]+')


def escaped(text: str) -> str:
    """Returns the text as it stands inside a JSON string."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


class LooseValue:
    """Reads one value and writes it as JSON.

    Read are JSON, Python's literals, keys without quotes, commas before closing brackets, and words without quotes,
    which become strings.
    """

    def __init__(self, source: Source, write: Write, *, quote: str = "", stop: str = "") -> None:
        """Creates a reader.

        Args:
            source: The text, at the beginning of the value.
            write: Takes the value's JSON, piece by piece.
            quote: Text before and after strings without escapes, beside strings in `"` and `'`; empty if there is none.
            stop: First character of the text that ends the value, beside commas and closing brackets.
        """
        self._source = source
        self._write = write
        self._quote = quote
        self._stop = stop
        self._open: list[str] = []
        """Closing brackets that are to come."""
        self._wants_value = True
        self._wants_key = False
        self._comma = False
        """Whether a comma is to be written before the next value or key."""

    def read(self) -> Parsing[bool]:
        """Reads up to the text that ends the value; returns False if the answer ends before."""
        source = self._source
        while True:
            yield from source.skip_space()
            if not (yield from source.has(0)):
                return False
            char = source.char()
            if not self._open and char in _ENDS + self._stop:
                self._leave_out()
                return True
            if char in _CLOSING and len(self._open) < _MOST_DEPTH and self._wants_value:
                self._enter(source.take(1))
            elif char in "]})":
                self._leave(source.take(1).replace(")", "]"))
            elif char == ",":
                source.take(1)
                self._next()
            elif not (yield from self._scalar()):
                return False

    def _enter(self, bracket: str) -> None:
        self._separate()
        closing = _CLOSING[bracket]
        self._write("{" if closing == "}" else "[")
        self._open.append(closing)
        self._wants_key, self._wants_value = closing == "}", closing != "}"

    def _leave(self, bracket: str) -> None:
        if bracket not in self._open:
            return
        last = ""
        while last != bracket:
            if self._open[-1] == "}":
                self._leave_out()
            last = self._open.pop()
            self._write(last)
            self._comma = self._wants_key = self._wants_value = False

    def _next(self) -> None:
        if self._open[-1] == "}":
            self._leave_out()
        self._comma = True
        self._wants_key = self._open[-1] == "}"
        self._wants_value = not self._wants_key

    def _leave_out(self) -> None:
        """Writes null where a value is missing."""
        if self._wants_value:
            self._separate()
            self._write("null")
            self._wants_value = False

    def _separate(self) -> None:
        if self._comma:
            self._write(", ")
        self._comma = False

    def _scalar(self) -> Parsing[bool]:
        """Reads a string, number or word, or a key; returns False if the answer ends within it."""
        is_extra = not self._wants_key and not self._wants_value
        write: Write = _ignore if is_extra else self._write
        if not is_extra:
            self._separate()
        is_read = yield from self._string_or_word(write)
        if is_read and self._wants_key:
            self._write(": ")
            yield from self._source.skip_space()
            if (yield from self._source.has(0)) and self._source.char() == ":":
                self._source.take(1)
        if not is_extra:
            self._wants_key, self._wants_value = False, self._wants_key
        return is_read

    def _string_or_word(self, write: Write) -> Parsing[bool]:
        source = self._source
        quote = yield from self._quote_at(0)
        if not quote:
            return (yield from self._word(write))
        source.take(len(quote))
        if quote == self._quote:
            return (yield from self._verbatim(write, quote))
        return (yield from self._string(write, quote))

    def _quote_at(self, at: int) -> Parsing[str]:
        """Returns the quote at an offset; empty if there is none."""
        if self._quote and (yield from _stands_at(self._source, self._quote, at)):
            return self._quote
        for quote in ('"', "'"):
            if self._source.char(at) == quote:
                triple = quote * 3
                return triple if (yield from _stands_at(self._source, triple, at)) else quote
        return ""

    def _verbatim(self, write: Write, quote: str) -> Parsing[bool]:
        source = self._source
        write('"')
        while (end := source.find(quote)) < 0:
            keep = longest_stop_start(source.tail(len(quote)), (quote,))
            write(escaped(source.take(source.size - keep)))
            if source.final:
                return False
            yield
        write(escaped(source.take(end)))
        source.take(len(quote))
        write('"')
        return True

    def _string(self, write: Write, quote: str, *, is_raw: bool = False) -> Parsing[bool]:
        source = self._source
        write('"')
        while (yield from source.has(0)):
            if (yield from _stands_at(source, quote, 0)):
                source.take(len(quote))
                write('"')
                return True
            if plain := source.run(_PLAIN):
                write(escaped(source.take(plain)))
            elif source.char() != "\\" or is_raw:
                write(escaped(source.take(1)))
            elif not (yield from self._escape(write)):
                return False
        return False

    def _escape(self, write: Write) -> Parsing[bool]:
        source = self._source
        if not (yield from source.has(1)):
            source.take(1)
            return False
        kind = source.char(1)
        digits = {"x": 2, "u": 4, "U": 8}.get(kind, 0)
        if digits:
            if not (yield from source.has(1 + digits)):
                source.take(source.size)
                return False
            code = source.slice(2, 2 + digits)
            if _HALF.fullmatch(code):
                yield from self._half(write, code)
                return True
            if re.fullmatch("[0-9A-Fa-f]+", code) and int(code, 16) <= 0x10FFFF:
                source.take(2 + digits)
                write(f"\\u{code}" if digits == 4 else json.dumps(chr(int(code, 16)))[1:-1])
                return True
        source.take(2)
        write(_ESCAPES.get(kind) if kind in _ESCAPES else escaped(f"\\{kind}"))  # type: ignore[arg-type]
        return True

    def _half(self, write: Write, code: str) -> Parsing[None]:
        """Reads the escape of half a character: with its other half, as JSON escapes those beyond 16 bits, or alone."""
        source, size = self._source, 2 + len(code)
        is_whole = bool((yield from source.has(size + 5)) and _SECOND_HALF.fullmatch(source.slice(size, size + 6)))
        if is_whole and _FIRST_HALF.fullmatch(code):
            write(f"\\u{code[-4:]}{source.slice(size, size + 6)}")
            source.take(size + 6)
        else:
            write(_NO_CHARACTER)
            source.take(size)

    def _word(self, write: Write) -> Parsing[bool]:
        """Reads up to the end of a key or of a value without quotes, which may have balanced parentheses."""
        source, found, depth = self._source, list[str](), 0
        ends = ":" + _ENDS if self._wants_key else _ENDS + ("" if self._open else self._stop)
        while (yield from source.has(0)):
            char = source.char()
            if depth == 0 and char in ends:
                write(_word_as_json("".join(found), is_key=self._wants_key))
                return True
            if char in "\"'" and "".join(found[:3]).lower() in _PREFIXES:
                quote = yield from self._quote_at(0)
                source.take(len(quote))
                return (yield from self._string(write, quote, is_raw="r" in "".join(found).lower()))
            depth += (char in "([{") - (char in ")]}")
            found.append(source.take(1))
        word = "".join(found).strip()
        if word and not self._quote.startswith(word):
            write(_word_as_json(word, is_key=self._wants_key))
        return False


def _word_as_json(text: str, *, is_key: bool) -> str:
    word = text.strip()
    if is_key:
        return json.dumps(word, ensure_ascii=False)
    if word in ("true", "false", "null") or _NUMBER.fullmatch(word):
        return word
    if word in ("True", "False", "None"):
        return {"True": "true", "False": "false", "None": "null"}[word]
    return _python_number(word) or json.dumps(word, ensure_ascii=False)


def _python_number(word: str) -> str | None:
    """Returns a number that Python writes otherwise than JSON, such as `1_000` or `0x1f`; None for other words."""
    if not re.fullmatch(r"[+-]?(0[xX][0-9A-Fa-f_]+|[0-9_]*\.?[0-9_]*([eE][+-]?\d+)?)", word):
        return None
    for kind in (lambda text: int(text, 0), float):
        try:
            return json.dumps(kind(word), allow_nan=False)
        except ValueError:  # Also of more digits than Python converts, or beyond float64.
            continue
    return None


def _ignore(text: str) -> None:
    """Takes text that belongs to no value."""


def _stands_at(source: Source, text: str, at: int) -> Parsing[bool]:
    for offset, char in enumerate(text, at):
        if not (yield from source.has(offset)) or source.char(offset) != char:
            return False
    return True
