"""Compiles a grammar on trial, in a process that can be ended: llguidance bounds neither all the time nor the memory.

A schema of 2 kB, 40 patterns of which a text must match all, keeps llguidance 1.9 busy for minutes and takes gigabytes.
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
"""For an answer, on the wall's clock: the process bounds its processor time itself, which a busy machine gives late."""
_START_SECONDS = 60.0
_REFUSED_SECONDS = 60.0
"""How long a costly grammar is refused without another try."""
_MOST_KNOWN = 1024


class TooCostlyError(Exception):
    """A grammar takes too long, or too much memory, to compile."""


class _Known(NamedTuple):
    """What a try has found: what is wrong with a grammar, None where it costs too much."""

    problem: str | None
    until: float
    """When the grammar is worth another try, on the monotonic clock."""


class Trial:
    """Tries grammars for one model's tokens, each once. For one thread at a time."""

    def __init__(self, size: int, special: Mapping[int, bytes]) -> None:
        """`special` has the tokens, among `size`, that grammars may name, and their texts."""
        self._vocabulary = json.dumps((size, {token: text.decode("latin-1") for token, text in special.items()}))
        self._process: subprocess.Popen[str] | None = None
        self._ending: Callable[[], object] | None = None
        self._known: OrderedDict[bytes, _Known] = OrderedDict()

    def problem(self, grammar: str) -> str:
        """Returns what is wrong with the grammar, empty where nothing is. Raises TooCostlyError."""
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
        # A machine that stood still makes any grammar late.
        return _Known(problem, math.inf if problem is not None else time.monotonic() + _REFUSED_SECONDS)

    def close(self) -> None:
        """Ends the process; the next grammar starts another. It ends by itself when nothing refers to this any more."""
        if self._ending is not None:
            self._ending()
        self._process = None

    def _ask(self, grammar: str) -> str | None:
        """Returns what is wrong with the grammar; None where the process found no answer in time, or died of it."""
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
            start_new_session=True,  # Ctrl-C reaches the whole terminal; the server decides what it means.
        )
        if _exchange(process, self._vocabulary, _START_SECONDS) is None:
            _end(process)
            raise TooCostlyError
        self._ending = weakref.finalize(self, _end, process)
        return process


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    with suppress(BrokenPipeError), process:  # What it was not told any more.
        process.wait()


def _exchange(process: subprocess.Popen[str], line: str, seconds: float) -> str | None:
    """Returns the answer to a line; None where there is none in time."""
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(BrokenPipeError):
        process.stdin.write(line + "\n")
        process.stdin.flush()
    is_answered, _, _ = select.select([process.stdout], [], [], seconds)
    answer = process.stdout.readline() if is_answered else ""
    return str(json.loads(answer)) if answer else None
