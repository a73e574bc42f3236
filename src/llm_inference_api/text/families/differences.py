"""Compares texts at the borders of markers, so that `<tool>` and `<think>` have nothing in common."""

import re
from collections.abc import Sequence
from os.path import commonprefix

_MARKER = re.compile(r"<[^<>\s][^<>\n]{0,80}>(?:(?!zq)\w+(?=<))?|\[[A-Z_/]+\]|\w+")
"""A marker such as `<think>`, `[ARGS]` or `<|open|>call`, or a word. None is cut."""


def common_start(texts: Sequence[str]) -> int:
    """Returns the length of what all texts begin with, without a part of a marker or word."""
    size = len(commonprefix(list(texts)))
    for text in texts:
        found = next((match for match in _MARKER.finditer(text) if match.start() < size < match.end()), None)
        size = found.start() if found else size
    return size


def common_end(texts: Sequence[str]) -> int:
    """Returns the length of what all texts end with, without a part of a marker or word."""
    size = len(commonprefix([text[::-1] for text in texts]))
    for text in texts:
        at = len(text) - size
        found = next((match for match in _MARKER.finditer(text) if match.start() < at < match.end()), None)
        size = len(text) - found.end() if found else size
    return size
