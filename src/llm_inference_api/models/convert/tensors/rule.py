"""Rules that map the tensors of a checkpoint to the tensors of a GGUF file; a family is mostly a table of them."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from llm_inference_api.models.convert.tensors.element_type import Float32Array

IndexArray = npt.NDArray[np.intp]
RowOrder = Callable[[int], IndexArray]
"""Returns the indices of the rows to keep, in their new order, for a tensor of so many rows."""
ValueChange = Callable[[Float32Array], Float32Array]
"""Changes float32 values element by element; it is applied to chunks of a tensor."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How one tensor of the GGUF file is made; of every layer, where `{layer}` stands in its names."""

    source: str
    """Name in the checkpoint. `{item}` stands for the index of a tensor that is stacked with others."""
    target: str
    """Name in the GGUF file."""
    shape: tuple[str, ...]
    """Names of the checkpoint tensor's dimensions, keys of Family.sizes."""
    required: bool = True
    """Whether a checkpoint without the tensor is refused."""
    stacked: str | None = None
    """The dimension that counts the tensors to stack, a key of Family.sizes; None for a single tensor."""
    rows: RowOrder | None = None
    """Selects and orders rows (of values and of quantised blocks alike); None keeps all."""
    change: ValueChange | None = None
    float32: bool = False
    """Whether llama.cpp requires float32 for it although it has two dimensions."""


def linear(
    source: str, target: str, shape: tuple[str, str], *, bias: bool | None = None, rows: RowOrder | None = None
) -> tuple[Rule, ...]:
    """Returns the rules of a linear layer.

    Args:
        source: Name in the checkpoint without ".weight".
        target: Name in the GGUF file without ".weight".
        shape: Dimensions of the weight: outputs, inputs.
        bias: Whether the layer has a bias; None where the checkpoint decides.
        rows: Selection and order of the outputs, for weight and bias.
    """
    weight = Rule(f"{source}.weight", f"{target}.weight", shape, rows=rows)
    if bias is False:
        return (weight,)
    return weight, Rule(f"{source}.bias", f"{target}.bias", shape[:1], required=bias is True, rows=rows)


def rms_norm(source: str, target: str, size: str = "hidden", change: ValueChange | None = None) -> tuple[Rule, ...]:
    """Returns the rule of an RMSNorm's weight."""
    return (Rule(f"{source}.weight", f"{target}.weight", (size,), change=change),)


def layer_norm(source: str, target: str) -> tuple[Rule, Rule]:
    """Returns the rules of a LayerNorm's weight and bias."""
    return (
        Rule(f"{source}.weight", f"{target}.weight", ("hidden",)),
        Rule(f"{source}.bias", f"{target}.bias", ("hidden",)),
    )


def in_layer(*groups: tuple[Rule, ...], prefix: str) -> tuple[Rule, ...]:
    """Returns rules for every layer from rules whose names lack the layer's prefix, in the checkpoint and a number."""
    return tuple(
        replace(rule, source=f"{prefix}{{layer}}.{rule.source}", target=f"blk.{{layer}}.{rule.target}")
        for group in groups
        for rule in group
    )


def interleaved_heads(head_count: int, start: int = 0, count: int | None = None) -> RowOrder:
    """Returns the row order that llama.cpp's Llama needs for queries and keys.

    transformers rotates dimension n of a head together with n + head_size / 2, llama.cpp (LLAMA_ROPE_TYPE_NORM) rotates
    neighbours; see `permute` in llama.cpp's convert_hf_to_gguf.py.

    Args:
        head_count: Number of heads in the rows.
        start: First of the rows.
        count: Number of rows; None for all.
    """

    def order(rows: int) -> IndexArray:
        return start + np.arange(count or rows).reshape(head_count, 2, -1).swapaxes(1, 2).reshape(-1)

    return order


def row_range(start: int, count: int) -> RowOrder:
    """Returns the order that keeps `count` rows from row `start` on."""

    def order(_rows: int) -> IndexArray:
        return np.arange(start, start + count)

    return order


def plus_one(values: Float32Array) -> Float32Array:
    """Returns 1 + values: Gemma's norms multiply by 1 + weight, llama.cpp's by the weight."""
    return values + np.float32(1)


def scaled(factor: float, after: ValueChange | None = None) -> ValueChange:
    """Returns the change that multiplies by `factor`, after another change where one is given."""

    def change(values: Float32Array) -> Float32Array:
        return (after(values) if after else values) * np.float32(factor)

    return change
