"""Log output: one JSON object per line, or human-readable lines."""

import json
import logging
import re
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TextIO

from llm_inference_api.processes.throttle import Throttle

if TYPE_CHECKING:
    from rich.console import Console

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


def values_of(record: logging.LogRecord) -> dict[str, object]:
    """Returns the structured fields of a log record, with those of its context."""
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
            **values_of(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _BREAKS.sub(_json_escape, json.dumps(line, ensure_ascii=False, default=str))


def _json_escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


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
) -> "Console | None":
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
        from llm_inference_api.observability.pretty import PrettyHandler  # noqa: PLC0415 - rich is slow to import

        handler = pretty = PrettyHandler(stream)
        terminal = pretty.console if pretty.is_terminal else None
    else:
        handler = logging.StreamHandler(stream)
        handler.setFormatter(JsonFormatter(service_name, version))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger(_GRPC_LOGGER).addFilter(_METADATA_FILTER)
    return terminal
