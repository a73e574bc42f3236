"""What a mapping may hold, for files whose published schemas are not at hand."""

from typing import Any

Shape = dict[str, Any]
"""By key: another shape, a list of one shape, a set of the values there are, or None for any value."""


def unknown(content: object, shape: object, path: str = "") -> list[str]:
    """Returns the paths of what the shape does not have."""
    if shape is None:
        return []
    if isinstance(shape, set):
        return [] if content in shape else [path]
    if isinstance(shape, list):
        if not isinstance(content, list):
            return [path]
        return [found for item in content for found in unknown(item, shape[0], f"{path}[]")]
    assert isinstance(shape, dict)
    if not isinstance(content, dict):
        return [path]
    strange = [f"{path}.{key}" for key in content if key not in shape]
    known = (unknown(value, shape[key], f"{path}.{key}") for key, value in content.items() if key in shape)
    return strange + [found for each in known for found in each]
