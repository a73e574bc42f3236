"""The tensors of a checkpoint as its family's rules name them, dense or packed."""

from collections.abc import Callable, Mapping
from pathlib import Path

from llm_inference_api.models.convert.checkpoint import Checkpoint, DenseSource, TensorSource
from llm_inference_api.models.convert.config import Config
from llm_inference_api.models.convert.quantised.affine import AffineSource
from llm_inference_api.models.convert.quantised.awq import awq_source
from llm_inference_api.models.convert.quantised.gptq import gptq_source
from llm_inference_api.models.convert.quantised.packed import PackedLayer

_METHODS: Mapping[str, Callable[[PackedLayer, Config], AffineSource]] = {
    "gptq": gptq_source,
    "awq": awq_source,
}
_PARTS = ("qweight", "qzeros", "scales", "g_idx")
_SETTINGS_FILES = {"quantize_config.json": "gptq", "quant_config.json": "awq", "hf_quant_config.json": "modelopt"}
"""Quantisation settings of checkpoints without `quantization_config`: file name and method."""


def sources_of(checkpoint: Checkpoint) -> dict[str, TensorSource]:
    """Returns all tensors by name; a packed layer is one tensor with the name of its weight.

    Raises:
        ConversionError: The quantisation method is not supported, or a tensor is malformed or of an unsupported type.
    """
    settings = _settings(checkpoint.config, checkpoint.directory)
    if settings is None:
        return {name: DenseSource(tensor) for name, tensor in checkpoint.stored.items()}
    method = settings.text("quant_method")
    if method not in _METHODS:
        raise settings.error("quant_method", "one of " + ", ".join(_METHODS), method)
    stored = checkpoint.stored
    layers = [name.removesuffix(".qweight") for name in stored if name.endswith(".qweight")]
    parts = {f"{layer}.{part}" for layer in layers for part in _PARTS}
    dense: dict[str, TensorSource] = {name: DenseSource(stored[name]) for name in stored if name not in parts}
    packed: dict[str, TensorSource] = {
        f"{layer}.weight": _METHODS[method](PackedLayer(layer, stored), settings) for layer in layers
    }
    return dense | packed


def _settings(config: Config, directory: Path) -> Config | None:
    """Returns the quantisation settings, None for a checkpoint of floats."""
    if "quantization_config" in config:
        return config.section("quantization_config")
    for name, method in _SETTINGS_FILES.items():
        if (directory / name).is_file():
            read = Config.read(directory / name)
            return Config({"quant_method": method} | dict(read.values), name)
    return None
