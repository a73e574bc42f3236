"""Trial compilation of grammars in a child process with limited time and memory, which llguidance itself lacks.

For example, a 2 kB schema with 40 patterns in `allOf` takes llguidance 1.9 minutes and gigabytes to compile.
"""

import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

from llm_inference_api.grammar import trial_process
from llm_inference_api.processes.limited_child import LimitedChild

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
        vocabulary = (size, {token: text.decode("latin-1") for token, text in special.items()})
        self._child = LimitedChild(trial_process.__name__, vocabulary)
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self.seconds = 0.0
        """Processor time of all trials so far."""

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
        answer = self._child.ask(grammar)
        if answer is None:
            # A timeout expires, because a stalled machine may have caused it.
            self.seconds += trial_process.MOST_SECONDS
            return _Known(None, time.monotonic() + _REFUSED_SECONDS)
        problem, seconds = answer
        self.seconds += seconds
        return _Known(problem, math.inf)

    def lark(self, gbnf: str) -> str:
        """Returns a GBNF grammar in Lark. Raises ValueError if it is not valid, and TooCostlyError."""
        answer = self._child.ask({"gbnf": gbnf})
        if answer is None:
            raise TooCostlyError
        lark, problem = answer
        if problem:
            raise ValueError(problem)
        return str(lark)

    def close(self) -> None:
        """Kills the child process; the next grammar starts a new one. Also happens on garbage collection."""
        self._child.close()
