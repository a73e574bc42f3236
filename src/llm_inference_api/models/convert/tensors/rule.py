"""One line of a family's table: which tensors of the checkpoint become which tensor of the GGUF file."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from llm_inference_api.models.convert.tensors.element_type import Float32Array

IndexArray = npt.NDArray[np.intp]
RowOrder = Callable[[int], IndexArray]
ValueChange = Callable[[Float32Array], Float32Array]


@dataclass(frozen=True, slots=True)
class Rule:
    """`{layer}` in a name counts layers, `{item}` counts the tensors that are stacked into one.

    `shape` names the checkpoint tensor's dimensions (see Family.sizes); `rows` selects and orders its rows,
    which works on values and on quantised blocks alike; `change` alters values, in float32.
    """

    source: str
    target: str
    shape: tuple[str, ...]
    required: bool = True
    stacked: str | None = None
    rows: RowOrder | None = None
    change: ValueChange | None = None
    float32: bool = False


def linear(
    source: str,
    target: str,
    outputs: str,
    inputs: str,
    *,
    bias: bool | None = None,
    rows: RowOrder | None = None,
) -> tuple[Rule, ...]:
    """A projection, with a bias (True), without (False), or with one where the checkpoint has it."""
    weight = Rule(f"{source}.weight", f"{target}.weight", (outputs, inputs), rows=rows)
    if bias is False:
        return (weight,)
    return weight, Rule(f"{source}.bias", f"{target}.bias", (outputs,), required=bias is True, rows=rows)


def rms_norm(source: str, target: str, size: str = "hidden", change: ValueChange | None = None) -> tuple[Rule, ...]:
    return (Rule(f"{source}.weight", f"{target}.weight", (size,), change=change),)


def layer_norm(source: str, target: str, size: str = "hidden", *, bias: bool = True) -> tuple[Rule, Rule]:
    return (
        Rule(f"{source}.weight", f"{target}.weight", (size,)),
        Rule(f"{source}.bias", f"{target}.bias", (size,), required=bias),
    )


def in_layer(*groups: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """Rules of one layer, written without their prefixes, as rules of every layer."""
    return tuple(
        replace(rule, source=f"model.layers.{{layer}}.{rule.source}", target=f"blk.{{layer}}.{rule.target}")
        for group in groups
        for rule in group
    )


def interleaved_heads(head_count: int, start: int = 0, count: int | None = None) -> RowOrder:
    """Rows for llama.cpp's rope on neighbouring pairs, from transformers' on two halves of a head.

    Of `count` rows from `start` on, or of all.
    """

    def order(rows: int) -> IndexArray:
        return start + np.arange(count or rows).reshape(head_count, 2, -1).swapaxes(1, 2).reshape(-1)

    return order


def row_range(start: int, count: int) -> RowOrder:
    def order(rows: int) -> IndexArray:
        return np.arange(start, start + count)

    return order


def plus_one(values: Float32Array) -> Float32Array:
    """Gemma's norms multiply by 1 + weight, llama.cpp's by the weight."""
    return values + np.float32(1)


def scaled(factor: float, then: ValueChange | None = None) -> ValueChange:
    def change(values: Float32Array) -> Float32Array:
        return (then(values) if then else values) * np.float32(factor)

    return change
