"""Log lines for people."""

import logging
import os
from collections.abc import Mapping
from datetime import datetime
from typing import TextIO

from rich.console import Console
from rich.text import Text

from llm_inference_api.observability.log import values_of


def printable(text: str) -> str:
    """Returns the text on one line, with everything that a terminal would obey or hide escaped as Python writes it.

    Values come from callers and from model files: a line break or an escape sequence in one could forge a line.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def environment_of(stream: TextIO) -> Mapping[str, str]:
    """Returns the environment that a console on the stream should believe.

    Shells and multiplexers may export the size of another window. A terminal that knows its own is asked for it: what
    is drawn again in place, such as a bar, leaves rows behind where its lines are longer than the window is wide.
    """
    try:
        knows_size = os.get_terminal_size(stream.fileno()).columns > 0
    except (OSError, ValueError):
        knows_size = False
    return {name: value for name, value in os.environ.items() if not knows_size or name not in {"COLUMNS", "LINES"}}


class PrettyHandler(logging.Handler):
    """Writes human-readable lines: time, level, message, then the structured fields.

    A record is one line. On a terminal fields are left out that would need a second one, first those that identify the
    request, but not those of warnings and errors. The lines of a traceback are indented, so that none of them looks
    like another record.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self.console = Console(file=stream, _environ=environment_of(stream))
        self.is_terminal = stream.isatty()

    def emit(self, record: logging.LogRecord) -> None:
        """Writes the line, and the traceback if the record has one."""
        line = Text(f"{datetime.fromtimestamp(record.created).astimezone():%H:%M:%S} ", style="dim")
        line.append(f"{record.levelname:<7} ", style=_STYLES.get(record.levelname, ""))
        line.append(printable(record.getMessage()), style="not dim")
        message_end = line.cell_len
        for name, value in sorted(values_of(record).items(), key=_rank):
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
