"""Search for complete and partial stop strings."""

from collections.abc import Sequence


def first_stop(text: str, stop: Sequence[str]) -> int | None:
    """Returns the index of the first stop string in the text, or None."""
    found = [at for at in (text.find(word) for word in stop) if at >= 0]
    return min(found, default=None)


def longest_stop_start(text: str, stop: Sequence[str]) -> int:
    """Returns the length of the text's longest suffix that is a proper prefix of a stop string."""
    return max((_overlap(text, word) for word in stop), default=0)


def _overlap(text: str, word: str) -> int:
    longest = min(len(text), len(word) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(word[:size])), 0)
