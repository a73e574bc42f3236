"""The console of log lines and of the command line."""

import fcntl
import os
import pty
import struct
import termios
from collections.abc import Callable, Iterator
from typing import TextIO

import pytest

from llm_inference_api.observability.pretty import environment_of, printable

Open = Callable[[int], TextIO]


@pytest.fixture
def window() -> Iterator[Open]:
    """Opens a terminal of this many columns; 0 for one that does not know."""
    master, slave = pty.openpty()
    stream = os.fdopen(slave, "w")

    def sized(columns: int) -> TextIO:
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24 if columns else 0, columns, 0, 0))
        return stream

    yield sized
    stream.close()
    os.close(master)


@pytest.mark.parametrize(("columns", "believed"), [(40, None), (0, "80")])
def test_size_of_the_environment_holds_where_the_terminal_knows_none(
    window: Open, monkeypatch: pytest.MonkeyPatch, columns: int, believed: str | None
) -> None:
    """A shell may have exported that of another window."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    environment = environment_of(window(columns))
    assert environment.get("COLUMNS") == believed
    assert environment["NO_COLOR"] == "1"


def test_pretty_value_shows_what_was_escaped() -> None:
    """Escapes are Python's, and printable text of any language is left as it is."""
    assert printable("grüße 你好 😀\n\x1b[1m\x85") == r"grüße 你好 😀\n\x1b[1m\x85"
