"""Compares texts at the borders of markers, so that `<tool>` and `<think>` have nothing in common."""

import re
from collections.abc import Sequence

_MARKER = re.compile(r"<[^<>\s][^<>\n]{0,80}>(?:(?!zq)\w+(?=<))?|\[[A-Z_/]+\]|\w+")
"""A marker such as `<think>`, `[ARGS]` or `<|open|>call`, or a word. None is cut."""


def common_start(texts: Sequence[str]) -> int:
    """Returns the length of what all texts begin with, without a part of a marker or word."""
    size = _same(texts)
    for text in texts:
        found = next((match for match in _MARKER.finditer(text) if match.start() < size < match.end()), None)
        size = found.start() if found else size
    return size


def common_end(texts: Sequence[str]) -> int:
    """Returns the length of what all texts end with, without a part of a marker or word."""
    size = _same([text[::-1] for text in texts])
    for text in texts:
        at = len(text) - size
        found = next((match for match in _MARKER.finditer(text) if match.start() < at < match.end()), None)
        size = len(text) - found.end() if found else size
    return size


def _same(texts: Sequence[str]) -> int:
    """Returns how many first characters are the same in all texts."""
    columns = zip(*texts, strict=False)
    return next((at for at, characters in enumerate(columns) if len({*characters}) > 1), min(map(len, texts)))
