"""Planning of a GGUF file's tensors from the rules of a family and the tensors of a checkpoint."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from gguf import GGMLQuantizationType, quant_shape_to_byte_shape
from gguf.quants import dequantize

from llm_inference_api.models.convert.checkpoint import TensorSource
from llm_inference_api.models.convert.errors import ConversionError
from llm_inference_api.models.convert.families.family import Family
from llm_inference_api.models.convert.tensors.element_type import STORAGE, Array, Float32Array, from_float32, recode
from llm_inference_api.models.convert.tensors.rule import Rule


@dataclass(frozen=True, slots=True)
class PlannedTensor:
    """A tensor to write: its entry in the file's header, and a function that makes its data."""

    name: str
    shape: tuple[int, ...]
    """Dimensions, outermost first: the reverse of GGUF's order, which its writer takes care of."""
    kind: GGMLQuantizationType
    load: Callable[[], Array]
    """Reads and converts the values. Raises ConversionError where `kind` cannot represent them."""

    @property
    def byte_count(self) -> int:
        """Size of the data in bytes."""
        if self.kind in STORAGE:
            return int(np.prod(self.shape)) * STORAGE[self.kind].itemsize
        return int(np.prod(quant_shape_to_byte_shape(self.shape, self.kind)))


def constant(name: str, values: Float32Array) -> PlannedTensor:
    """Returns a float32 tensor of given values."""
    return PlannedTensor(name, values.shape, GGMLQuantizationType.F32, lambda: values)


def plan_tensors(
    family: Family, sources: Mapping[str, TensorSource], dtype: GGMLQuantizationType | None
) -> list[PlannedTensor]:
    """Returns every tensor to write, in the order of the family's rules.

    Args:
        family: Rules and sizes.
        sources: The checkpoint's tensors by name.
        dtype: Type of matrices that are stored as floats; None keeps the source's type.

    Raises:
        ConversionError: A tensor is missing, unknown, or of another shape than config.json implies.
    """
    named = _renamed(family, sources)
    _check_layers(family, named)
    used: set[str] = set()
    planned: list[PlannedTensor] = []
    for rule in _expanded(family):
        names = _items(family, rule)
        present = [name for name in names if name in named]
        used.update(present)
        if len(present) == len(names):
            planned.append(_plan(family, rule, [(name, named[name]) for name in names], dtype))
        elif rule.required or present:
            missing = next(name for name in names if name not in named)
            raise ConversionError(f"tensor {missing!r} is missing (it becomes {rule.target!r})")
    _refuse_unknown(family, named, used)
    return planned


def _renamed(family: Family, sources: Mapping[str, TensorSource]) -> dict[str, TensorSource]:
    """Returns the tensors of the text model by the names that the rules use."""
    renamed = ((family.source_name(name), source) for name, source in sources.items())
    return {name: source for name, source in renamed if name is not None}


def _check_layers(family: Family, named: Iterable[str]) -> None:
    layer = re.compile(re.escape(family.layer_prefix) + r"(\d{1,6})\.")
    layers = {int(match[1]) for name in named if (match := layer.match(name))}
    if layers and max(layers) >= family.layers:
        raise ConversionError(
            f"{family.config.origin}: num_hidden_layers is {family.layers}, but the checkpoint has layer {max(layers)}"
        )


def _expanded(family: Family) -> Iterable[Rule]:
    """Yields the rules with those of a layer repeated for each layer."""
    rules = family.rules()
    layered = [rule for rule in rules if "{layer}" in rule.target]
    first = rules.index(layered[0])
    yield from rules[:first]
    for layer in range(family.layers):
        for rule in layered:
            yield replace(
                rule,
                source=rule.source.replace("{layer}", str(layer)),
                target=rule.target.replace("{layer}", str(layer)),
            )
    yield from rules[first + len(layered) :]


def _items(family: Family, rule: Rule) -> list[str]:
    """Returns the names of the checkpoint tensors that the rule reads."""
    count = family.sizes[rule.stacked] if rule.stacked else 1
    return [rule.source.replace("{item}", str(item)) for item in range(count)]


def _plan(
    family: Family, rule: Rule, sources: list[tuple[str, TensorSource]], dtype: GGMLQuantizationType | None
) -> PlannedTensor:
    wanted = tuple(family.sizes[size] for size in rule.shape)
    for name, source in sources:
        if source.shape != wanted:
            raise ConversionError(f"tensor {name!r} has shape {source.shape}, {family.config.origin} implies {wanted}")
    target = _target_kind(rule, [source.kind for _, source in sources], dtype)
    kept = (len(rule.rows(wanted[0])), *wanted[1:]) if rule.rows else wanted
    shape = (len(sources), *kept) if rule.stacked else kept

    def load() -> Array:
        parts = (_converted(rule, name, source, target) for name, source in sources)
        return _stacked(parts, len(sources)) if rule.stacked else next(parts)

    return PlannedTensor(rule.target, shape, target, load)


def _stacked(parts: Iterable[Array], count: int) -> Array:
    """Returns the `count` parts stacked as numpy.stack does, with only one part in memory beside the result."""
    result: Array | None = None
    for index, part in enumerate(parts):
        result = np.empty((count, *part.shape), part.dtype) if result is None else result
        result[index] = part
    assert result is not None
    return result


def _target_kind(
    rule: Rule, kinds: list[GGMLQuantizationType], dtype: GGMLQuantizationType | None
) -> GGMLQuantizationType:
    """Returns the type to write: float32 for norms, biases and routers, as llama.cpp requires.

    Quantised blocks keep their type, unless values must change or stacked tensors differ in type.
    """
    if rule.float32 or len(rule.shape) == 1:
        return GGMLQuantizationType.F32
    # F32 is 0, hence falsy: compare these types with None instead of testing their truth.
    kind = kinds[0]
    if len(set(kinds)) > 1 or (kind not in STORAGE and rule.change):
        return GGMLQuantizationType.F16 if dtype is None else dtype
    return kind if dtype is None or kind not in STORAGE else dtype


def _converted(rule: Rule, name: str, source: TensorSource, target: GGMLQuantizationType) -> Array:
    values = source.read()
    if rule.rows is not None:
        values = values[rule.rows(values.shape[0])]
    try:
        if source.kind not in STORAGE and source.kind != target:
            floats = dequantize(values, source.kind).reshape(-1, *source.shape[1:])
            return from_float32(rule.change(floats) if rule.change else floats, target)
        return recode(values, source.kind, target, rule.change) if source.kind in STORAGE else values
    except ConversionError as error:
        raise ConversionError(f"tensor {name!r} {error}") from error


def _refuse_unknown(family: Family, named: Mapping[str, TensorSource], used: set[str]) -> None:
    ignored = re.compile("|".join(family.ignored))
    left = (name for name in named if name not in used and not ignored.fullmatch(name))
    unknown = sorted(name for name in left if not _adds_nothing(name, named[name]))
    if unknown:
        raise ConversionError(
            f"tensor {unknown[0]!r} is not part of llama.cpp's architecture {family.name!r}"
            + (f" (nor are {len(unknown) - 1} others)" if len(unknown) > 1 else "")
        )


def _adds_nothing(name: str, source: TensorSource) -> bool:
    """Returns whether the tensor is a bias of zeros, which quantisers add to layers that have no bias."""
    return name.endswith(".bias") and len(source.shape) == 1 and not np.any(source.read())
