"""Rotary position embeddings: transformers' parameters expressed as llama.cpp's metadata and factor tensors."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from llm_inference_api.models.convert.config import Config
from llm_inference_api.models.convert.errors import ConversionError
from llm_inference_api.models.convert.tensors.element_type import Float32Array

Metadata = dict[str, str | bool | int | float | list[int] | list[float] | list[bool] | list[str]]
"""GGUF metadata by key."""

_YARN_BETA_FAST = 32.0
_YARN_BETA_SLOW = 1.0
"""llama.cpp's YaRN parameters for architectures that do not read them from the file."""


@dataclass(slots=True)
class RopeEncoding:
    """What a GGUF file says about a rotary embedding."""

    metadata: Metadata = field(default_factory=dict)
    """Keys without the architecture's prefix."""
    tensors: dict[str, Float32Array] = field(default_factory=dict)
    """Divisors of the frequencies, one for each rotated pair, by GGUF name."""


@dataclass(frozen=True, slots=True)
class Rope:
    """The rotary embedding of a checkpoint."""

    theta: float
    """The base of the frequencies."""
    dimensions: int
    """Number of rotated dimensions of a head."""
    context_length: int
    """max_position_embeddings of config.json."""
    kind: str
    """transformers' rope_type."""
    fields: Config
    """The parameters of this kind."""

    @property
    def original_context(self) -> int:
        """Context length before scaling."""
        return self.fields.integer("original_max_position_embeddings", self.context_length)

    @property
    def reach(self) -> int:
        """Context length after scaling. With YaRN, config.json may have the length before or after it."""
        if self.kind != "yarn":
            return self.context_length
        scaled = int(self.original_context * self.fields.positive("factor"))
        return min(max(self.context_length, scaled), 2**31 - 1)

    def encoded(self, *, factor_tensors: bool) -> RopeEncoding:
        """Returns the embedding in llama.cpp's terms.

        Args:
            factor_tensors: Whether the architecture in llama.cpp reads divisors of the frequencies.

        Raises:
            ConversionError: The kind is unknown, lacks a parameter, or needs divisors that are not read.
        """
        encode = _ENCODERS.get(self.kind)
        if encode is None:
            raise self.fields.error("rope_type", " or ".join(sorted(_ENCODERS)), self.kind)
        if self._needs_divisors and not factor_tensors:
            supported = "without beta_fast, beta_slow and truncate" if self.kind == "yarn" else "of another kind"
            raise ConversionError(
                f"{self.fields.origin}: rope_type {self.kind!r} with these parameters has no equivalent in llama.cpp "
                f"for this architecture; must be {supported}"
            )
        encoding = encode(self)
        encoding.metadata["rope.freq_base"] = self.theta
        encoding.metadata["rope.dimension_count"] = self.dimensions
        return encoding

    @property
    def _needs_divisors(self) -> bool:
        """Whether llama.cpp scales frequencies like this only with divisors from the file."""
        if self.kind == "yarn":
            return not _Yarn.read(self.fields).is_llama_cpp
        return self.kind in ("llama3", "longrope", "su")

    def frequencies(self) -> Float32Array:
        """Returns the unscaled frequency of each rotated pair, in radians per position."""
        exponents = np.arange(0, self.dimensions, 2, dtype=np.float32) / np.float32(self.dimensions)
        return (1.0 / (np.float32(self.theta) ** exponents)).astype(np.float32)


def read_rope(config: Config, *, dimensions: int, context_length: int, theta: float, layers: str = "") -> Rope:
    """Returns the rotary embedding that config.json describes.

    Args:
        config: config.json; `rope_parameters` of transformers 5 or `rope_scaling` of earlier versions.
        dimensions: Number of rotated dimensions of a head.
        context_length: max_position_embeddings.
        theta: Base of the frequencies where config.json has none.
        layers: The kind of attention layer, for checkpoints with parameters for each kind.

    Raises:
        ConversionError: A field is of the wrong type.
    """
    fields = config.section("rope_parameters")
    if layers and isinstance(fields.values.get(layers), dict):
        fields = fields.section(layers)
    if not fields.values:
        fields = config.section("rope_scaling")
    length = "original_max_position_embeddings"
    merged = fields.with_defaults({length: config.values.get(length)})
    kind = merged.text("rope_type", merged.text("type", "default"))
    base = merged.positive("rope_theta", config.positive("rope_theta", theta))
    return Rope(base, dimensions, context_length, kind, merged)


def _default(_rope: Rope) -> RopeEncoding:
    return RopeEncoding()


def _linear(rope: Rope) -> RopeEncoding:
    return RopeEncoding({"rope.scaling.type": "linear", "rope.scaling.factor": rope.fields.positive("factor")})


class _Yarn(NamedTuple):
    """Parameters of YaRN (Peng et al. 2023, https://arxiv.org/abs/2309.00071)."""

    factor: float
    """Scaled by original context length."""
    beta_fast: float
    """Rotations within the original context from which on a frequency is not interpolated."""
    beta_slow: float
    """Rotations within the original context up to which a frequency is interpolated in full."""
    truncate: bool
    """Whether the bounds between the two are rounded to whole dimensions."""

    @classmethod
    def read(cls, fields: Config) -> "_Yarn":
        return cls(
            fields.positive("factor"),
            fields.positive("beta_fast", _YARN_BETA_FAST),
            fields.positive("beta_slow", _YARN_BETA_SLOW),
            fields.flag("truncate", default=True),
        )

    @property
    def is_llama_cpp(self) -> bool:
        """Whether llama.cpp computes with these parameters itself."""
        return self[1:] == (_YARN_BETA_FAST, _YARN_BETA_SLOW, True)


def _yarn(rope: Rope) -> RopeEncoding:
    yarn = _Yarn.read(rope.fields)
    attention = _yarn_attention_factor(rope, yarn.factor)
    if not yarn.is_llama_cpp:
        return RopeEncoding(
            {"rope.scaling.type": "none", "rope.scaling.attn_factor": attention},
            {"rope_freqs.weight": _yarn_divisors(rope, yarn)},
        )
    return RopeEncoding(
        {
            "rope.scaling.type": "yarn",
            "rope.scaling.factor": yarn.factor,
            "rope.scaling.original_context_length": rope.original_context,
            # llama.cpp multiplies this by the usual magnitude (ggml's rope_yarn).
            "rope.scaling.attn_factor": attention / _yarn_magnitude(yarn.factor),
        }
    )


def _yarn_magnitude(factor: float, scale: float = 1.0) -> float:
    """Returns the factor on queries and keys that YaRN recommends, section 3.4."""
    return 1.0 if factor <= 1.0 else 0.1 * scale * math.log(factor) + 1.0


def _yarn_attention_factor(rope: Rope, factor: float) -> float:
    """Returns the factor on queries and keys as transformers' _compute_yarn_parameters has it."""
    if "attention_factor" in rope.fields:
        return rope.fields.positive("attention_factor")
    scale, every = rope.fields.number("mscale", 0.0), rope.fields.number("mscale_all_dim", 0.0)
    if scale and every:
        return _yarn_magnitude(factor, scale) / _yarn_magnitude(factor, every)
    return _yarn_magnitude(factor)


def _yarn_divisors(rope: Rope, yarn: _Yarn) -> Float32Array:
    """Returns the divisor of each frequency (YaRN, section 3.2; transformers' _compute_yarn_parameters)."""

    def dimension_of(rotations: float) -> float:
        wavelengths = rope.original_context / (rotations * 2 * math.pi)
        return rope.dimensions * math.log(wavelengths) / (2 * math.log(rope.theta))

    low, high = dimension_of(yarn.beta_fast), dimension_of(yarn.beta_slow)
    if yarn.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, rope.dimensions - 1)
    ramp = (np.arange(rope.dimensions // 2, dtype=np.float32) - low) / max(high - low, 0.001)
    interpolated = np.clip(ramp, 0, 1)
    return np.asarray(1 / (interpolated / yarn.factor + (1 - interpolated)), np.float32)


def _llama3(rope: Rope) -> RopeEncoding:
    """Returns Llama 3.1's scaling (transformers' _compute_llama3_parameters)."""
    factor = rope.fields.positive("factor")
    low, high = rope.fields.positive("low_freq_factor"), rope.fields.positive("high_freq_factor")
    if high <= low:
        raise rope.fields.error("high_freq_factor", "above low_freq_factor", high)
    wavelengths = 2 * np.pi / rope.frequencies()
    smooth = np.clip((rope.original_context / wavelengths - low) / (high - low), 0, 1)
    divisors = 1 / ((1 - smooth) / factor + smooth)
    return RopeEncoding(tensors={"rope_freqs.weight": divisors.astype(np.float32)})


def _longrope(rope: Rope) -> RopeEncoding:
    """Returns LongRoPE's factors (Ding et al. 2024, https://arxiv.org/abs/2402.13753)."""
    tensors = {f"rope_factors_{name}.weight": _longrope_factors(rope, f"{name}_factor") for name in ("long", "short")}
    metadata: Metadata = {
        "rope.scaling.type": "longrope",
        "rope.scaling.original_context_length": rope.original_context,
        "rope.scaling.attn_factor": _longrope_attention_factor(rope),
    }
    return RopeEncoding(metadata, tensors)


def _longrope_factors(rope: Rope, name: str) -> Float32Array:
    factors = np.array(rope.fields.numbers(name), np.float32)
    if factors.shape != (rope.dimensions // 2,):
        raise rope.fields.error(name, f"a list of {rope.dimensions // 2} numbers", list(factors))
    return factors


def _longrope_attention_factor(rope: Rope) -> float:
    """Returns the factor on queries and keys (transformers' _compute_longrope_parameters)."""
    if "attention_factor" in rope.fields:
        return rope.fields.positive("attention_factor")
    factor = rope.context_length / rope.original_context
    if "factor" in rope.fields and rope.context_length == rope.original_context:
        factor = rope.fields.positive("factor")
    return 1.0 if factor <= 1.0 else math.sqrt(1 + math.log(factor) / math.log(rope.original_context))


_ENCODERS: dict[str, Callable[[Rope], RopeEncoding]] = {
    "default": _default,
    # Dynamic NTK scales only sequences longer than max_position_embeddings, which is the file's context length.
    "dynamic": _default,
    "linear": _linear,
    "yarn": _yarn,
    "llama3": _llama3,
    "longrope": _longrope,
    "su": _longrope,  # The name in the first Phi-3 checkpoints.
}
"""Encoders by transformers' rope_type."""
