"""A child process that computes what may take endless time or memory, and answers.

Protocol: JSON lines on stdin and stdout, one answer for each line. The child limits its own processor time and memory,
see `limited`; exceeding them ends it, and the next question starts another one.
"""

import json
import resource
import select
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

_MOST_SECONDS = 20.0
"""Wall-clock timeout of an answer. The child's limit is of processor time, which takes longer on a busy machine."""
_START_SECONDS = 60.0
"""Timeout of the child's start, with its answer to the first line."""


class LimitedChild:
    """The parent's handle on the child. Thread-safe: questions are answered one after the other."""

    def __init__(self, module: str, first: object) -> None:
        """Creates the handle; the child is started by the first question.

        Args:
            module: Name of the module to run.
            first: First question of each process. Must be JSON, as all questions and answers.
        """
        self._command = [sys.executable, "-m", module]
        self._first = first
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._end: Callable[[], object] | None = None
        self._started: Any = None

    @property
    def process(self) -> "subprocess.Popen[str] | None":
        """The child; None before the first question."""
        return self._process

    def started(self) -> Any:
        """Returns the answer to the first question; None as `ask` does."""
        with self._lock:
            return self._started if self._runs() else None

    def ask(self, question: object) -> Any:
        """Returns the answer to a question; None if the child cannot be started, timed out or died of it."""
        with self._lock:
            if not self._runs():
                return None
            assert self._process is not None
            answer = _exchange(self._process, question, _MOST_SECONDS)
            if answer is None:
                self._close()
            return answer

    def close(self) -> None:
        """Kills the child; the next question starts a new one. Also happens on garbage collection."""
        with self._lock:
            self._close()

    def _runs(self) -> bool:
        """Returns whether the child runs; starts one if there is none."""
        if self._process is not None and self._process.poll() is None:
            return True
        self._close()
        with suppress(OSError):  # The system cannot create a process.
            process = subprocess.Popen(  # noqa: S603 - our own module
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="ascii",  # JSON is escaped.
                start_new_session=True,  # Ctrl-C signals the whole process group; the server handles it.
            )
            self._process, self._end = process, weakref.finalize(self, _end, process)
            self._started = _exchange(process, self._first, _START_SECONDS)
            if self._started is not None:
                return True
            self._close()
        return False

    def _close(self) -> None:
        if self._end is not None:
            self._end()
        self._end = None


def _end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    with suppress(BrokenPipeError), process:  # Closing stdin flushes input that the child did not read.
        process.wait()


def _exchange(process: "subprocess.Popen[str]", question: object, seconds: float) -> Any:
    """Writes a question to the child and returns its answer; None on timeout or end of file."""
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(BrokenPipeError):
        process.stdin.write(json.dumps(question) + "\n")
        process.stdin.flush()
    is_answered, _, _ = select.select([process.stdout], [], [], seconds)
    answer = process.stdout.readline() if is_answered else ""
    return json.loads(answer) if answer.endswith("\n") else None


def limited(memory: int) -> None:
    """Limits this process, which is the child.

    Args:
        memory: Bytes of address space.
    """
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def questions(seconds: float, *, first: float) -> Iterator[Any]:
    """Yields the parent's questions; each one must be answered by `answer` before the next.

    Args:
        seconds: Processor time of all threads that one question may take. Beyond it SIGPROF ends the process.
        first: Processor time that the first one may take.
    """
    limit = first
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_PROF, limit)
        yield json.loads(line)
        limit = seconds


def answer(value: object) -> None:
    """Writes the answer to the last question."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()
