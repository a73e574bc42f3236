"""Trial compilation of grammars in a child process with limited time and memory, which llguidance itself lacks.

For example, a 2 kB schema with 40 patterns in `allOf` takes llguidance 1.9 minutes and gigabytes to compile.
"""

import hashlib
import json
import math
import select
import subprocess
import sys
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

from llm_inference_api.grammar import trial_process

_MOST_SECONDS = 20.0
"""Wall-clock timeout of a trial in seconds. The child limits its own CPU time, which takes longer on a busy machine."""
_START_SECONDS = 60.0
"""Timeout of the child's start."""
_REFUSED_SECONDS = 60.0
"""Seconds for which a too expensive grammar is rejected without another trial."""
_MOST_KNOWN = 1024
"""Size of the LRU cache of results."""


class TooCostlyError(Exception):
    """Compiling a grammar exceeds the limit of time or memory."""


class _Known(NamedTuple):
    """Cached result of a trial."""

    problem: str | None
    """llguidance's error, empty if the grammar is valid; None if it is too expensive."""
    until: float
    """Monotonic time at which the result expires."""


class Trial:
    """Compiles grammars on trial for one model's vocabulary, and caches the results. Not thread-safe."""

    def __init__(self, size: int, special: Mapping[int, bytes]) -> None:
        """Creates a trial; the child process is started by the first grammar.

        Args:
            size: Size of the vocabulary.
            special: Bytes of the special tokens, which grammars can refer to, by token id.
        """
        self._vocabulary = json.dumps((size, {token: text.decode("latin-1") for token, text in special.items()}))
        self._process: subprocess.Popen[str] | None = None
        self._ending: Callable[[], object] | None = None
        self._known: OrderedDict[bytes, _Known] = OrderedDict()

    def problem(self, grammar: str) -> str:
        """Returns llguidance's error for the grammar, or an empty string. Raises TooCostlyError."""
        key = hashlib.sha256(grammar.encode("utf-8", "surrogatepass")).digest()
        known = self._known.pop(key, None)
        if known is None or known.until < time.monotonic():
            known = self._try(grammar)
        self._known[key] = known
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        if known.problem is None:
            raise TooCostlyError
        return known.problem

    def _try(self, grammar: str) -> _Known:
        problem = self._ask(grammar)
        # A timeout expires, because a stalled machine may have caused it.
        return _Known(problem, math.inf if problem is not None else time.monotonic() + _REFUSED_SECONDS)

    def close(self) -> None:
        """Kills the child process; the next grammar starts a new one. Also happens on garbage collection."""
        if self._ending is not None:
            self._ending()
        self._process = None

    def _ask(self, grammar: str) -> str | None:
        """Returns the child's result for the grammar; None if it timed out or the child died."""
        if self._process is None or self._process.poll() is not None:
            self._process = self._start()
        answer = _exchange(self._process, json.dumps(grammar), _MOST_SECONDS)
        if answer is None:
            self.close()
        return answer

    def _start(self) -> subprocess.Popen[str]:
        self.close()
        process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", trial_process.__name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # Ctrl-C signals the whole process group; the server handles it.
        )
        if _exchange(process, self._vocabulary, _START_SECONDS) is None:
            _end(process)
            raise TooCostlyError
        self._ending = weakref.finalize(self, _end, process)
        return process


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    with suppress(BrokenPipeError), process:  # Closing stdin flushes input that the child did not read.
        process.wait()


def _exchange(process: subprocess.Popen[str], line: str, seconds: float) -> str | None:
    """Writes a line to the child and returns its decoded answer; None on timeout or end of file."""
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(BrokenPipeError):
        process.stdin.write(line + "\n")
        process.stdin.flush()
    is_answered, _, _ = select.select([process.stdout], [], [], seconds)
    answer = process.stdout.readline() if is_answered else ""
    return str(json.loads(answer)) if answer else None
