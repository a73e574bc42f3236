"""What was typed while an answer came."""

import os
import pty
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_inference_api.cli.chat import prompt
from llm_inference_api.cli.chat.prompt import _history, unechoed


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The end of a terminal to which a person's keys go; standard input is its other end."""
    person, program = pty.openpty()
    with open(program, encoding="utf-8") as stdin:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdin", stdin)
        yield person
    os.close(person)


def typed_during_an_answer(keyboard: int, keys: bytes) -> str:
    """Returns what stands at the next prompt."""
    with unechoed() as typed:
        os.write(keyboard, keys)
    return typed()


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        (b"", ""),
        ("grüße".encode(), "grüße"),
        (b"one\ntwo\n", "one\ntwo"),
        (b"\x1b[A\x1b[1;5Dup\x1bOP\x04", "up"),
    ],
)
def test_text_is_kept_and_keys_are_not(keyboard: int, keys: bytes, text: str) -> None:
    """Enter is not pressed for the person, and arrows are no text."""
    assert typed_during_an_answer(keyboard, keys) == text


def test_terminal_is_as_it_was_afterwards(keyboard: int) -> None:
    """Also where the answer fails."""
    before = termios.tcgetattr(sys.stdin.fileno())
    echoes = []

    def fail() -> None:
        with unechoed():
            echoes.append(bool(termios.tcgetattr(sys.stdin.fileno())[3] & termios.ECHO))
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        fail()
    assert echoes == [False]
    assert termios.tcgetattr(sys.stdin.fileno()) == before


def test_history_without_a_file_goes_on(tmp_path: Path) -> None:
    """What cannot be written, or has no directory, costs no session."""
    blocked = tmp_path / "file"
    blocked.touch()
    for path in (blocked / "history", Path("/dev/full"), None):
        history = _history(path)
        history.append_string("typed")
        assert history.get_strings() == ["typed"]


def test_bytes_that_are_not_utf_8_are_kept_as_a_mark(tmp_path: Path) -> None:
    """The history's file is text."""
    history = _history(tmp_path / "history")
    history.append_string("a\udcff")
    assert (tmp_path / "history").read_text(encoding="utf-8").endswith("+a?\n")


def test_flood_of_keys_ends(keyboard: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not all of it is taken."""
    monkeypatch.setattr(prompt, "_MOST_TYPED", 2)
    assert typed_during_an_answer(keyboard, b"abc\n") == "abc"
