"""Whose responses make room."""

from collections.abc import Mapping


def surplus(sizes: Mapping[str, int], limit: int) -> dict[str, float]:
    """Returns how much of each caller's is too much, if those with most give up what is above the others'.

    Args:
        sizes: Bytes of each caller.
        limit: Bytes that all may have together.
    """
    excess = sum(sizes.values()) - limit
    if excess <= 0:
        return {}
    ordered = sorted(sizes.values(), reverse=True)
    level, top = 0.0, 0
    for count, size in enumerate(ordered, 1):
        top += size
        level = (top - excess) / count
        if count == len(ordered) or level >= ordered[count]:
            break
    return {caller: size - level for caller, size in sizes.items() if size > level}
