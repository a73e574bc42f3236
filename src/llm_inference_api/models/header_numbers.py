"""Numbers in the header of a GGUF file."""

from collections.abc import Mapping, Sequence

Scalar = int | float | bool | str
Value = Scalar | tuple[Scalar, ...]


def per_layer(
    header: Mapping[str, Value], key: str, layers: int, default: int | Sequence[int], *, only_arrays: bool = False
) -> Sequence[int]:
    """Returns a number for each layer; the header has one for all, or an array.

    Args:
        header: The file's metadata.
        key: The number's name.
        layers: How many layers there are; those that an array lacks have 0, as in llama.cpp.
        default: What stands for a missing number, for all layers or for each.
        only_arrays: Whether a single number is something else than that of each layer.
    """
    value = header.get(key)
    if isinstance(value, tuple):
        numbers = [int(number) if isinstance(number, (int, float)) else 0 for number in value[:layers]]
        return numbers + [0] * (layers - len(numbers))
    if isinstance(value, (int, float)) and not only_arrays:
        return [int(value)] * layers
    return [default] * layers if isinstance(default, int) else default


def number(header: Mapping[str, Value], key: str, default: int) -> int:
    """Returns a number of the header; the default where it is missing or no number."""
    value = header.get(key, default)
    return int(value) if isinstance(value, (int, float)) else default
