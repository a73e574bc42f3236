"""A person's terminal: tmux, which understands what programs write to it and answers their questions."""

import itertools
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.service import descendants

IS_INSTALLED = shutil.which("tmux") is not None


class Terminal:
    """A terminal in which one command runs. When it has ended, the screen shows `ended with` and its exit code."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def keys(self, *keys: str) -> None:
        """Presses keys by tmux's names, such as `C-c` or `Up`; types other texts."""
        self._tmux("send-keys", *keys)

    def type(self, text: str) -> None:
        """Types a text and presses Enter."""
        self._tmux("send-keys", "-l", text)
        self._tmux("send-keys", "Enter")

    def paste(self, text: str) -> None:
        """Pastes a text as terminals do: marked, if the program has asked for that."""
        subprocess.run(["tmux", "-S", self._socket, "load-buffer", "-"], input=text.encode(), check=True)
        self._tmux("paste-buffer", "-p")

    def screen(self) -> str:
        """Returns the screen's text, and what has scrolled away above it; lines that were too long are joined."""
        return self._tmux("capture-pane", "-p", "-J", "-S", "-").rstrip()

    def lines(self) -> list[str]:
        """Returns the screen's lines as they stand there."""
        return self._tmux("capture-pane", "-p").rstrip().split("\n")

    def wait_for(self, text: str, seconds: float = 60.0) -> str:
        """Returns the screen when it shows the text; fails when that takes too long."""
        return self.wait_until(lambda screen: text in screen, repr(text), seconds)

    def wait_until(self, holds: Callable[[str], bool], what: str, seconds: float = 60.0) -> str:
        """Returns the screen when something holds for it; fails when that takes too long."""
        deadline = time.monotonic() + seconds
        while not holds(screen := self.screen()):
            assert time.monotonic() < deadline, f"{what} does not come; the screen is:\n{screen}"
            time.sleep(0.05)
        return screen

    def pid(self) -> int:
        """Returns the process id of the command."""
        (pid,) = descendants(int(self._tmux("display-message", "-p", "#{pane_pid}")))
        return pid

    def _tmux(self, *arguments: str) -> str:
        command = ["tmux", "-S", self._socket, *arguments]
        return subprocess.run(command, capture_output=True, check=True).stdout.decode()


_NUMBERS = itertools.count()


@contextmanager
def terminal(
    directory: Path, command: Sequence[str], environment: Mapping[str, str], columns: int = 100, rows: int = 30
) -> Iterator[Terminal]:
    """Yields a terminal in which the command runs; `directory` is for its socket."""
    # One of its own: the server of a terminal before this one may still be ending, and would take this one's session.
    socket = directory / f"tmux{next(_NUMBERS)}"
    given = {**environment, "TERM": "screen-256color"}
    variables = [f"{name}={value}" for name, value in given.items() if name not in ("TMUX", "TMUX_PANE")]
    # `env -i`: the server's environment is not the test's.
    program = shlex.join(["env", "-i", *variables, *command])
    size = ("-x", str(columns), "-y", str(rows))
    start = ["tmux", "-S", str(socket), "-f", os.devnull, "new-session", "-d", *size]
    subprocess.run([*start, f"{program}; echo ended with $?; exec cat"], check=True, env={**os.environ, "TMUX": ""})
    try:
        yield Terminal(socket)
    finally:
        subprocess.run(["tmux", "-S", str(socket), "kill-server"], check=True)
