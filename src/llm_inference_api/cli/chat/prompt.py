"""The line that a person edits."""

import os
import re
import select
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout.processors import TabsProcessor

_TAB = 4
"""Columns of a tab that was pasted."""
_MOST_TYPED = 1 << 20
"""Bytes that are taken of what was typed during an answer."""
_KEYS = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O.|.)?")
"""What keys such as the arrows send (ECMA-48 5.4, and SS3)."""
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f]")


class ChatPrompt:
    """Reads messages: with editing, history and completion of commands; a paste of several lines is one message."""

    def __init__(self, commands: list[str], history: Path | None) -> None:
        """Makes the prompt.

        Args:
            commands: What Tab completes at the begin of a line.
            history: File with what was typed in earlier sessions; None for no file.
        """
        self._session: PromptSession[str] = PromptSession(
            "> ",
            multiline=True,
            prompt_continuation="  ",
            history=_history(history),
            key_bindings=_bindings(),
            completer=WordCompleter(commands, sentence=True),
            complete_while_typing=False,
            enable_suspend=True,
            input_processors=[TabsProcessor(tabstop=_TAB, char1=" ", char2=" ")],
        )

    async def read(self, typed: str = "") -> str:
        """Returns what is typed, after what was typed before.

        Raises:
            EOFError: Ctrl-D on an empty line.
            KeyboardInterrupt: Ctrl-C on an empty line.
        """
        return _valid(await self._session.prompt_async(default=typed, handle_sigint=False))


def _valid(text: str) -> str:
    """Returns the text with a mark in the place of bytes that are not UTF-8, which no message can hold."""
    return text.encode("utf-8", "replace").decode()


class _KeptHistory(FileHistory):
    """A history in a file; where the disk has no room, the session's part stays in memory."""

    def store_string(self, string: str) -> None:
        """Appends what was typed to the file."""
        with suppress(OSError):
            super().store_string(_valid(string))


def _bindings() -> KeyBindings:
    """Returns the keys: Enter sends, Alt-Enter begins a line, Ctrl-C clears."""
    keys = KeyBindings()

    @keys.add("enter")
    def _send(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("c-c")
    def _clear(event: KeyPressEvent) -> None:
        if not event.current_buffer.text:
            event.app.exit(exception=KeyboardInterrupt)
        event.current_buffer.reset()

    return keys


def _history(path: Path | None) -> History:
    """Returns the history of a file that is this user's alone; one in memory where it cannot be had."""
    if path is None:
        return InMemoryHistory()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600))
    except OSError:
        return InMemoryHistory()
    return _KeptHistory(path)


@contextmanager
def unechoed() -> Iterator[Callable[[], str]]:
    """Keeps what is typed during the block from the screen; yields what returns it, once the block has ended.

    Ctrl-C still sends SIGINT. Without this a paste during an answer would be as many messages as lines.
    """
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    during = termios.tcgetattr(descriptor)
    during[3] &= ~(termios.ECHO | termios.ICANON)
    termios.tcsetattr(descriptor, termios.TCSADRAIN, during)
    typed = b""
    try:
        yield lambda: _text(typed)
    finally:
        while len(typed) < _MOST_TYPED and select.select([descriptor], [], [], 0)[0]:
            read = os.read(descriptor, 4096)
            typed += read
            if not read:
                break
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _text(typed: bytes) -> str:
    """Returns the text of what was typed, without the keys that are none."""
    return _CONTROL.sub("", _KEYS.sub("", typed.decode("utf-8", "ignore").replace("\r", "\n"))).strip("\n")
