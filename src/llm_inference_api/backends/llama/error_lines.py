"""The first error line of llama.cpp's log within a call, which names the cause; those after it name what it led to."""

from collections.abc import Iterator
from contextlib import contextmanager

_ERROR = 4
"""GGML_LOG_LEVEL_ERROR (ggml.h)."""


class FirstError:
    """The first error line that was logged; empty if there is none."""

    def __init__(self) -> None:
        self.text = ""

    def after(self, problem: str) -> str:
        """Returns the problem, followed by the line."""
        return f"{problem}: {self.text}" if self.text else problem


_listening: list[FirstError] = []


@contextmanager
def first_error() -> Iterator[FirstError]:
    """Yields the first error line of the block; lines of all threads count."""
    found = FirstError()
    _listening.append(found)
    try:
        yield found
    finally:
        _listening.remove(found)


def note(level: int, line: str) -> None:
    """Takes a line of llama.cpp's log, with its ggml log level."""
    if level != _ERROR:
        return
    for found in _listening:
        found.text = found.text or line
