"""Limit on the parts of a message, checked before it is parsed.

Parsing takes time and memory for each part, however small: 8 MB of empty items take 0.1 s and 0.5 GB, in one call that
holds the GIL. So the bytes are walked first, and no further than the limit.

Format: https://protobuf.dev/programming-guides/encoding/
"""

import re
from functools import cache
from typing import Any

from google.protobuf.message import Message

from llm_inference_api.errors import InvalidFieldError

MAX_PARTS = 12_288
"""Maximum number of fields and items in a message, those of inner messages included. Walking them takes about 5 ms."""
_UNCHECKED = 2 * MAX_PARTS
"""Bytes of the largest message that is not walked. A part has at least two bytes."""
_NUMBERS = 64
"""Bytes of a list of numbers that count as one part: parsing them takes about as long."""
_VARINT, _FIXED64, _SIZED, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}


def check_parts(kind: type[Message], data: bytes) -> None:
    """Checks a serialized message of a type. Malformed bytes are left to the parser.

    Raises:
        InvalidFieldError: It has more than `MAX_PARTS` parts; the error names the field that has most of them.
    """
    if len(data) > _UNCHECKED:
        try:
            _Walk(data).message(kind.DESCRIPTOR, 0, len(data))
        except IndexError:
            return  # Truncated; the parser stops at the same place.
        except _TooManyError as error:
            problem = f"has too many items; a request has at most {MAX_PARTS} fields and items in all"
            raise InvalidFieldError(error.field, problem) from None


class _TooManyError(Exception):
    """The parts exceed the limit."""

    def __init__(self, field: str, count: int) -> None:
        super().__init__(field, count)
        self.field = field
        """Path of the field with most parts in one message, of those that were being walked."""
        self.count = count


class _Walk:
    """Counts the parts of a message."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._left = MAX_PARTS

    def message(self, descriptor: Any, start: int, end: int, path: str = "") -> None:
        """Counts the parts between two offsets. Raises _TooManyError beyond the limit."""
        counts: dict[int, int] = {}
        fields = descriptor.fields_by_number
        try:
            self._parts(fields, counts, start, end, path)
        except _TooManyError as error:
            most = max(counts, key=lambda number: counts[number])
            if counts[most] < error.count:
                raise
            name = path + str(fields[most].name) if most in fields else path.removesuffix(".")
            raise _TooManyError(name or "request", counts[most]) from None

    def _parts(self, fields: Any, counts: dict[int, int], start: int, end: int, path: str) -> None:
        data, at = self._data, start
        while at < end:
            tag, at = (data[at], at + 1) if data[at] < 128 else self._varint(at)
            number, kind = tag >> 3, tag & 7
            counts[number] = counts.get(number, 0) + 1
            self._left -= 1
            if self._left < 0:
                raise _TooManyError("", 0)
            if kind == _VARINT and number in fields and fields[number].is_repeated:
                at = self._numbers(tag, self._varint(at)[1], end)
            elif kind == _VARINT:
                _, at = self._varint(at)
            elif kind == _SIZED:
                size, at = (data[at], at + 1) if data[at] < 128 else self._varint(at)
                if size and number in fields:
                    self._sized(fields[number], at, at + size, f"{path}{_name(fields[number], counts[number])}")
                at += size
            else:
                at += _FIXED.get(kind, 0)

    def _sized(self, field: Any, start: int, end: int, name: str) -> None:
        if field.message_type is not None:
            self.message(field.message_type, start, end, f"{name}.")
        elif field.is_repeated and field.cpp_type != field.CPPTYPE_STRING:
            self._left -= (end - start) // _NUMBERS

    def _numbers(self, tag: int, start: int, end: int) -> int:
        """Returns the offset after the items that follow the first one of a list that is not packed, as from Envoy."""
        run = _run(tag).match(self._data, start, end)
        after = run.end() if run is not None else start
        self._left -= (after - start) // _NUMBERS
        return after

    def _varint(self, at: int) -> tuple[int, int]:
        """Returns the number at an offset, and the offset after it."""
        value = shift = 0
        while True:
            byte = self._data[at]
            value |= (byte & 127) << shift
            at, shift = at + 1, shift + 7
            if byte < 128:
                return value, at


@cache
def _run(tag: int) -> re.Pattern[bytes]:
    """Returns a pattern of up to 1,000 items with this tag, which are numbers of variable length."""
    first = bytes([tag]) if tag < 128 else bytes([tag & 127 | 128, tag >> 7])  # Our field numbers are below 2,048.
    return re.compile(b"(?:%b[\x80-\xff]*[\x00-\x7f]){0,1000}" % re.escape(first))


def _name(field: Any, count: int) -> str:
    return f"{field.name}[{count - 1}]" if field.is_repeated else str(field.name)
