"""Rotary position embeddings: what the checkpoint scales, said in llama.cpp's terms."""

import math
from dataclasses import dataclass, field

import numpy as np

from llm_inference_api.models.convert.config import Config
from llm_inference_api.models.convert.errors import ConversionError
from llm_inference_api.models.convert.tensors.element_type import Float32Array

Metadata = dict[str, str | bool | int | float | list[int] | list[float] | list[bool] | list[str]]

# What llama.cpp assumes where the architecture does not read these from the file.
_YARN_BETA_FAST = 32.0
_YARN_BETA_SLOW = 1.0


@dataclass(slots=True)
class RopeEncoding:
    """Metadata (keys without their architecture prefix) and factor tensors of one model's rope."""

    metadata: Metadata = field(default_factory=dict)
    tensors: dict[str, Float32Array] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rope:
    """The rope of a checkpoint; `dimensions` counts the rotated values of a head."""

    theta: float
    dimensions: int
    context_length: int
    kind: str
    fields: Config

    @property
    def original_context(self) -> int:
        return self.fields.integer("original_max_position_embeddings", self.context_length)

    @property
    def reach(self) -> int:
        """Positions that the rope was scaled for; yarn's configuration may still name the unscaled length."""
        if self.kind != "yarn":
            return self.context_length
        scaled = int(self.original_context * self.fields.positive("factor"))
        return min(max(self.context_length, scaled), 2**31 - 1)

    def encoded(self, *, factor_tensors: bool) -> RopeEncoding:
        """`factor_tensors`: whether the architecture in llama.cpp reads per-frequency factors."""
        encode = _ENCODERS.get(self.kind)
        if encode is None:
            raise self.fields.error("rope_type", " or ".join(sorted(_ENCODERS)), self.kind)
        encoding = encode(self, factor_tensors)
        encoding.metadata["rope.freq_base"] = self.theta
        encoding.metadata["rope.dimension_count"] = self.dimensions
        return encoding

    def frequencies(self) -> Float32Array:
        exponents = np.arange(0, self.dimensions, 2, dtype=np.float32) / np.float32(self.dimensions)
        return (1.0 / (np.float32(self.theta) ** exponents)).astype(np.float32)


def read_rope(config: Config, *, dimensions: int, context_length: int, theta: float, layers: str = "") -> Rope:
    """`layers` picks an entry where transformers writes one for each kind of attention layer."""
    fields = config.section("rope_parameters")
    if layers and isinstance(fields.values.get(layers), dict):
        fields = fields.section(layers)
    if not fields.values:
        fields = config.section("rope_scaling")
    merged = Config(
        {"original_max_position_embeddings": config.values.get("original_max_position_embeddings")}
        | {k: v for k, v in fields.values.items() if v is not None},
        fields.origin,
    )
    kind = merged.text("rope_type", merged.text("type", "default"))
    theta = merged.positive("rope_theta", config.positive("rope_theta", theta))
    return Rope(theta, dimensions, context_length, kind, merged)


def _default(rope: Rope, factor_tensors: bool) -> RopeEncoding:
    return RopeEncoding()


def _linear(rope: Rope, factor_tensors: bool) -> RopeEncoding:
    return RopeEncoding({"rope.scaling.type": "linear", "rope.scaling.factor": rope.fields.positive("factor")})


def _yarn_magnitude(factor: float, scale: float = 1.0) -> float:
    return 1.0 if factor <= 1.0 else 0.1 * scale * math.log(factor) + 1.0


def _yarn_attention_factor(rope: Rope, factor: float) -> float:
    if "attention_factor" in rope.fields:
        return rope.fields.positive("attention_factor")
    scale, every = rope.fields.number("mscale", 0.0), rope.fields.number("mscale_all_dim", 0.0)
    if scale and every:
        return _yarn_magnitude(factor, scale) / _yarn_magnitude(factor, every)
    return _yarn_magnitude(factor)


def _yarn(rope: Rope, factor_tensors: bool) -> RopeEncoding:
    factor = rope.fields.positive("factor")
    fast = rope.fields.positive("beta_fast", _YARN_BETA_FAST)
    slow = rope.fields.positive("beta_slow", _YARN_BETA_SLOW)
    truncate = rope.fields.flag("truncate", True)
    attention = _yarn_attention_factor(rope, factor)
    if (fast, slow, truncate) == (_YARN_BETA_FAST, _YARN_BETA_SLOW, True):
        # llama.cpp applies the usual magnitude itself; the file holds what is beyond it.
        return RopeEncoding(
            {
                "rope.scaling.type": "yarn",
                "rope.scaling.factor": factor,
                "rope.scaling.original_context_length": rope.original_context,
                "rope.scaling.attn_factor": attention / _yarn_magnitude(factor),
            }
        )
    if not factor_tensors:
        raise ConversionError(
            f"{rope.fields.origin}: yarn with beta_fast {fast}, beta_slow {slow}, truncate {truncate} has no "
            "equal in llama.cpp for this architecture, which has 32, 1 and true"
        )
    return RopeEncoding(
        {"rope.scaling.type": "none", "rope.scaling.attn_factor": attention},
        {"rope_freqs.weight": _yarn_divisors(rope, factor, fast, slow, truncate)},
    )


def _yarn_divisors(rope: Rope, factor: float, fast: float, slow: float, truncate: bool) -> Float32Array:
    """The divisor of each frequency (Peng et al. 2023, YaRN, section 3.2)."""

    def dimension_of(rotations: float) -> float:
        wavelengths = rope.original_context / (rotations * 2 * math.pi)
        return rope.dimensions * math.log(wavelengths) / (2 * math.log(rope.theta))

    low, high = dimension_of(fast), dimension_of(slow)
    if truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, rope.dimensions - 1)
    ramp = (np.arange(rope.dimensions // 2, dtype=np.float32) - low) / max(high - low, 0.001)
    interpolated = np.clip(ramp, 0, 1)
    return np.asarray(1 / (interpolated / factor + (1 - interpolated)), np.float32)


def _llama3(rope: Rope, factor_tensors: bool) -> RopeEncoding:
    if not factor_tensors:
        raise rope.fields.error("rope_type", "one that llama.cpp has for this architecture", rope.kind)
    factor = rope.fields.positive("factor")
    low, high = rope.fields.positive("low_freq_factor"), rope.fields.positive("high_freq_factor")
    if high <= low:
        raise rope.fields.error("high_freq_factor", "above low_freq_factor", high)
    wavelengths = 2 * np.pi / rope.frequencies()
    smooth = np.clip((rope.original_context / wavelengths - low) / (high - low), 0, 1)
    divisors = 1 / ((1 - smooth) / factor + smooth)
    return RopeEncoding(tensors={"rope_freqs.weight": divisors.astype(np.float32)})


def _longrope(rope: Rope, factor_tensors: bool) -> RopeEncoding:
    if not factor_tensors:
        raise rope.fields.error("rope_type", "one that llama.cpp has for this architecture", rope.kind)
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
    if "attention_factor" in rope.fields:
        return rope.fields.positive("attention_factor")
    factor = rope.context_length / rope.original_context
    if "factor" in rope.fields and rope.context_length == rope.original_context:
        factor = rope.fields.positive("factor")
    return 1.0 if factor <= 1.0 else math.sqrt(1 + math.log(factor) / math.log(rope.original_context))


_ENCODERS = {
    "default": _default,
    # Dynamic NTK changes nothing until a sequence is longer than max_position_embeddings, our context length.
    "dynamic": _default,
    "linear": _linear,
    "yarn": _yarn,
    "llama3": _llama3,
    "longrope": _longrope,
    "su": _longrope,  # the name that the first Phi-3 checkpoints used
}
