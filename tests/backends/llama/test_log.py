"""llama.cpp's log lines on their way to the service."""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import llama_cpp.llama_cpp as C
import pytest

from llm_inference_api.backends.llama.backend import route_log

DEBUG, INFO, WARNING, CONTINUED = 1, 2, 3, 5
"""Of `enum ggml_log_level` (ggml.h)."""


@contextmanager
def routed(lines: list[tuple[int, str]], *, verbose: bool) -> Iterator[Callable[[int, bytes], None]]:
    """Yields llama.cpp's way to log, which adds to the lines; its log is as before afterwards."""
    before, data = C.llama_log_callback(), ctypes.c_void_p()
    C.llama_log_get(ctypes.byref(before), ctypes.byref(data))
    route_log(lambda level, text: lines.append((level, text)), verbose=verbose)
    now = C.llama_log_callback()
    C.llama_log_get(ctypes.byref(now), ctypes.byref(data))
    yield lambda level, text: now(level, text, None)
    C.llama_log_set(before, data)


@pytest.mark.parametrize("verbose", [True, False])
def test_lines_for_debugging_are_dropped_unless_wanted(verbose: bool) -> None:  # noqa: FBT001 - a case of it
    """With what continues them; the others are whole."""
    lines: list[tuple[int, str]] = []
    with routed(lines, verbose=verbose) as log:
        log(INFO, b"loads ")
        log(CONTINUED, b"a file\n")
        log(DEBUG, b"CUDA Graph id 7 ")
        log(CONTINUED, b"reused\n")
        log(WARNING, b"slow\n")
    debug = [(DEBUG, "CUDA Graph id 7 reused")] if verbose else []
    assert lines == [(INFO, "loads a file"), *debug, (WARNING, "slow")]
