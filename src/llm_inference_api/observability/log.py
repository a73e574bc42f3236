"""Log output: one JSON object per line, or human-readable lines."""

import json
import logging
import re
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from rich.console import Console
from rich.text import Text

from llm_inference_api.processes.throttle import Throttle

_SEVERITY = {"WARNING": "WARN", "CRITICAL": "FATAL"}
"""OpenTelemetry's severity names where Python's differ (logs data model, SeverityText)."""
_GRPC_LOGGER = "grpc._cython.cygrpc"
_METADATA_LINES = 1.0
"""Minimum seconds between two lines about metadata that cannot be decoded."""
_BREAKS = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""What `json.dumps` leaves as it is although it moves a terminal's cursor or ends a line, or cannot be encoded."""
FIELDS = "fields"
"""Attribute of a log record with its structured fields."""
line_identity: ContextVar[Mapping[str, object]] = ContextVar("line_identity")
"""Structured fields of all lines logged in this context; they identify the request."""


def fields(**values: object) -> dict[str, dict[str, object]]:
    """Returns the `extra` argument that adds structured fields to a log line; those that are None are left out."""
    return {FIELDS: {name: value for name, value in values.items() if value is not None}}


def _values(record: logging.LogRecord) -> dict[str, object]:
    values = {**line_identity.get({}), **getattr(record, FIELDS, {})}
    return {name: value for name, value in values.items() if value is not None}


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object."""

    def __init__(self, service_name: str, version: str) -> None:
        super().__init__()
        self._resource = {"service.name": service_name, "service.version": version}

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line, without a line break."""
        line: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "severity": _SEVERITY.get(record.levelname, record.levelname),
            "message": record.getMessage(),
            "logger": record.name,
            **self._resource,
            **_values(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _BREAKS.sub(_json_escape, json.dumps(line, ensure_ascii=False, default=str))


def _json_escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def printable(text: str) -> str:
    """Returns the text on one line, with everything that a terminal would obey or hide escaped as Python writes it.

    Values come from callers and from model files: a line break or an escape sequence in one could forge a line.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


class PrettyHandler(logging.Handler):
    """Writes human-readable lines: time, level, message, then the structured fields.

    A record is one line. On a terminal fields are left out that would need a second one, first those that identify the
    request, but not those of warnings and errors. The lines of a traceback are indented, so that none of them looks
    like another record.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self.console = Console(file=stream)
        self.is_terminal = stream.isatty()

    def emit(self, record: logging.LogRecord) -> None:
        """Writes the line, and the traceback if the record has one."""
        line = Text(f"{datetime.fromtimestamp(record.created).astimezone():%H:%M:%S} ", style="dim")
        line.append(f"{record.levelname:<7} ", style=_STYLES.get(record.levelname, ""))
        line.append(printable(record.getMessage()), style="not dim")
        message_end = line.cell_len
        for name, value in sorted(_values(record).items(), key=_rank):
            line.append(f"  {printable(name)}=").append(printable(str(value)), style="not dim")
        if self.is_terminal and record.levelno < logging.WARNING:
            line.truncate(max(self.console.width, message_end + 1), overflow="ellipsis")
        self.console.print(line, soft_wrap=True)
        if record.exc_info:
            traceback = logging.Formatter().formatException(record.exc_info)
            text = Text("\n".join(f"  {printable(each)}" for each in traceback.split("\n")))
            self.console.print(text, soft_wrap=True)


def _rank(item: tuple[str, object]) -> int:
    """Returns which fields of a line for people come first: how a call ended, and last what identifies it."""
    name, _ = item
    return {"code": 0, "error": 1}.get(name, 3 if name in _IDENTITY else 2)


_IDENTITY = frozenset({"request_id", "answer_id", "trace_id", "span_id", "rpc.method", "peer", "caller"})

_STYLES = {
    "WARNING": "yellow not dim",
    "ERROR": "bold red not dim",
    "CRITICAL": "bold red not dim",
    "INFO": "green not dim",
}


class MetadataFilter(logging.Filter):
    """Shortens what gRPC logs for a metadata value that is not UTF-8, which any caller can send.

    That would be several tracebacks per request, each with the value, which may be a mistyped key.
    """

    def __init__(self) -> None:
        super().__init__()
        self._throttle = Throttle(_METADATA_LINES)

    def filter(self, record: logging.LogRecord) -> bool:
        """Returns whether the record is logged; changes it if it is about such a value."""
        if not (record.exc_info and isinstance(record.exc_info[1], UnicodeDecodeError)):
            return True
        record.msg, record.args, record.exc_info = "a caller sent metadata that are not UTF-8", (), None
        record.levelno, record.levelname = logging.WARNING, logging.getLevelName(logging.WARNING)
        return self._throttle.passes()


_METADATA_FILTER = MetadataFilter()


def set_up_log(
    form: Literal["json", "pretty"] | None, level: str, service_name: str, version: str, stream: TextIO = sys.stderr
) -> Console | None:
    """Configures the root logger. Returns the terminal that a person reads the lines on; None if there is none.

    Args:
        form: Format of the lines; None for `pretty` if the stream is a terminal, else `json`.
        level: Minimum level.
        service_name: Field `service.name` of JSON lines.
        version: Field `service.version` of JSON lines.
        stream: Where lines are written.
    """
    terminal, handler = None, logging.Handler()
    if form == "pretty" or (form is None and stream.isatty()):
        handler = pretty = PrettyHandler(stream)
        terminal = pretty.console if pretty.is_terminal else None
    else:
        handler = logging.StreamHandler(stream)
        handler.setFormatter(JsonFormatter(service_name, version))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger(_GRPC_LOGGER).addFilter(_METADATA_FILTER)
    return terminal
