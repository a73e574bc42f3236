"""Reads the form that brings a file (multipart/form-data, RFC 7578), piece by piece.

Of the file, no more is held than the line that has not ended.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from llm_inference_api.batches.files import MAX_FILE_BYTES, MAX_LINE_BYTES, MAX_LINES
from llm_inference_api.batches.records import INPUT, Line
from llm_inference_api.errors import InvalidFieldError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_TYPE = b"multipart/form-data"
_FILE = "file"
_ANCHOR, _SECONDS = "expires_after[anchor]", "expires_after[seconds]"
_TEXTS = ("purpose", _ANCHOR, _SECONDS)
"""Fields besides the file."""
_MAX_TEXT = 256
_MAX_NAME = 512


class Upload(NamedTuple):
    """What the form says of its file."""

    name: str
    lifetime: int | None
    """Seconds for which the file is to be kept; None: as all files."""


class FileForm:
    """A form that is being read. Not for two threads at once."""

    def __init__(self, content_type: str) -> None:
        """Raises InvalidFieldError if the content type is that of no such form."""
        # What HTTP cannot carry comes by gRPC, and the parser takes Latin-1 alone.
        kind, options = parse_options_header(content_type if content_type.isascii() else None)
        if kind != _TYPE or not options.get(b"boundary"):
            raise InvalidFieldError("content-type", "must be multipart/form-data with a boundary")
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._begin_part,
            "on_header_field": self._add_header_name,
            "on_header_value": self._add_header_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._add_data,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }
        try:
            self._parser = MultipartParser(options[b"boundary"], callbacks)
        except FormParserError as error:
            raise InvalidFieldError("content-type", f"has an invalid boundary ({error})") from error
        self._header: tuple[bytes, bytes] = (b"", b"")
        self._headers: dict[bytes, bytes] = {}
        self._field = ""
        self._texts: dict[str, bytes] = {}
        self._name: str | None = None
        self._size = 0
        self._tail = bytearray()
        """The line that has not ended."""
        self._count = 0
        self._lines: list[Line] = []
        self._has_ended = False

    def feed(self, data: bytes) -> list[Line]:
        """Reads a piece of the form. Returns the lines of the file that end in it. Raises InvalidFieldError."""
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise InvalidFieldError("body", f"is no valid multipart form ({error})") from error
        lines, self._lines = self._lines, []
        return lines

    def end(self) -> Upload:
        """Ends the form, and returns what it says of the file. Raises InvalidFieldError if something is missing."""
        if not self._has_ended:
            raise InvalidFieldError("body", "ends before the form does")
        if self._name is None:
            raise InvalidFieldError(_FILE, "is missing")
        purpose = self._texts.get("purpose", b"").decode("utf-8", "replace")
        if purpose != INPUT:
            raise InvalidFieldError("purpose", f"must be {INPUT!r}: files are the input of batches here")
        if not self._size:
            raise InvalidFieldError(_FILE, "is empty")
        return Upload(self._name, self._lifetime())

    def _lifetime(self) -> int | None:
        if _ANCHOR not in self._texts and _SECONDS not in self._texts:
            return None
        if self._texts.get(_ANCHOR) != b"created_at":
            raise InvalidFieldError(_ANCHOR, "must be 'created_at'")
        if not re.fullmatch(rb"\d{1,9}", self._texts.get(_SECONDS, b"")):
            raise InvalidFieldError(_SECONDS, "must be a whole number of seconds")
        return int(self._texts[_SECONDS])

    def _begin_part(self) -> None:
        self._headers, self._header = {}, (b"", b"")

    def _add_header_name(self, data: bytes, start: int, end: int) -> None:
        name, value = self._header
        self._header = (name + data[start:end], value)

    def _add_header_value(self, data: bytes, start: int, end: int) -> None:
        name, value = self._header
        self._header = (name, value + data[start:end])

    def _end_header(self) -> None:
        name, value = self._header
        self._headers[name.lower()] = value
        self._header = (b"", b"")

    def _end_headers(self) -> None:
        if b"content-transfer-encoding" in self._headers:  # Deprecated by RFC 7578, 4.7.
            raise InvalidFieldError("body", "has a part with a Content-Transfer-Encoding; leave it out")
        disposition = self._headers.get(b"content-disposition", b"").decode("utf-8", "replace")
        options = parse_options_header(disposition.encode().decode("latin-1"))[1]
        self._field = _text(options, b"name")
        if self._field not in (_FILE, *_TEXTS):
            shown = self._field[:100] or "body"
            raise InvalidFieldError(shown, "is not a parameter that this service knows; leave it out")
        if self._field in self._texts or (self._field == _FILE and self._name is not None):
            raise InvalidFieldError(self._field, "is given twice")
        if self._field == _FILE:
            self._name = _text(options, b"filename")[:_MAX_NAME] or _FILE
        else:
            self._texts[self._field] = b""

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if self._field == _FILE:
            self._add_bytes(data[start:end])
            return
        self._texts[self._field] += data[start:end]
        if len(self._texts[self._field]) > _MAX_TEXT:
            raise InvalidFieldError(self._field, f"has more than {_MAX_TEXT} bytes")

    def _add_bytes(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > MAX_FILE_BYTES:
            raise InvalidFieldError(_FILE, f"has more than {MAX_FILE_BYTES} bytes")
        *ended, rest = data.split(b"\n")
        for part in ended:
            self._tail += part + b"\n"
            self._end_line()
        self._tail += rest
        self._check_line()

    def _end_line(self) -> None:
        self._check_line()
        self._count += 1
        if self._count > MAX_LINES:
            raise InvalidFieldError(_FILE, f"has more than {MAX_LINES} lines")
        self._lines.append(Line(self._count, bytes(self._tail)))
        self._tail.clear()

    def _check_line(self) -> None:
        if len(self._tail) > MAX_LINE_BYTES:
            raise InvalidFieldError(_FILE, f"has more than {MAX_LINE_BYTES} bytes in line {self._count + 1}")

    def _end_part(self) -> None:
        if self._field == _FILE and self._tail:
            self._end_line()

    def _end(self) -> None:
        self._has_ended = True


def _text(options: Mapping[bytes, bytes], name: bytes) -> str:
    return options.get(name, b"").decode("utf-8", "replace")
