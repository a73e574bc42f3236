"""Adapters of peft, held against the conversion of weights into which they are merged."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader
from safetensors.numpy import load_file, save_file

from llm_inference_api.models.convert.adapter import convert_adapter
from llm_inference_api.models.convert.errors import ConversionError

Convert = Callable[..., Path]
RANK = 4
NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.o_proj": "attn_output"}
NAMES |= {"mlp.down_proj": "ffn_down"}
CONFIG = {"peft_type": "LORA", "r": RANK, "lora_alpha": 6, "bias": "none", "modules_to_save": None}


def write_adapter(directory: Path, model: Path, **config: Any) -> dict[str, np.ndarray]:
    """Writes an adapter of a checkpoint, as peft does; returns what B @ A is for each module, without its scale."""
    generator = np.random.default_rng(0)
    directory.mkdir(exist_ok=True)
    (directory / "adapter_config.json").write_text(json.dumps({**CONFIG, **config}))
    weights, changes = load_file(model / "model.safetensors"), {}
    tensors = {}
    for module in NAMES:
        rows, columns = weights[f"model.layers.0.{module}.weight"].shape
        a, b = (generator.standard_normal(shape).astype(np.float32) for shape in ((RANK, columns), (rows, RANK)))
        start = f"base_model.model.model.layers.0.{module}"
        tensors |= {f"{start}.lora_A.weight": a, f"{start}.lora_B.weight": b}
        changes[module] = b @ a
    save_file(tensors, directory / "adapter_model.safetensors")
    return changes


def tensors_of(path: Path) -> dict[str, np.ndarray]:
    return {tensor.name: np.array(tensor.data) for tensor in GGUFReader(path).tensors}


def made(tmp_path: Path, base: Path) -> dict[str, np.ndarray]:
    output = tmp_path / "made.gguf"
    convert_adapter(tmp_path / "adapter", base, output, progress=lambda done, total: None)
    return tensors_of(output)


@pytest.mark.parametrize(
    ("options", "scales"),
    [
        ({}, {}),
        ({"use_rslora": True}, dict.fromkeys(NAMES, 6 / math.sqrt(RANK))),
        ({"alpha_pattern": {"q_proj": 3}}, {"self_attn.q_proj": 3 / RANK}),
        ({"alpha_pattern": {r"model.layers.0.mlp\..*": 2}}, {"mlp.down_proj": 2 / RANK}),
    ],
)
def test_adapter_is_the_difference_of_merged_weights(
    tmp_path: Path, tiny_llama: Path, converted: Convert, options: dict[str, Any], scales: dict[str, float]
) -> None:
    """In llama.cpp's order of rows, with peft's scale of each module in the weights."""
    changes = write_adapter(tmp_path / "adapter", tiny_llama, **options)
    base = converted(tiny_llama)
    before = tensors_of(base)
    found = made(tmp_path, base)
    weights = load_file(tiny_llama / "model.safetensors")
    for module, change in changes.items():
        weights[f"model.layers.0.{module}.weight"] += scales.get(module, 6 / RANK) * change
    save_file(weights, tiny_llama / "model.safetensors")
    after = tensors_of(converted(tiny_llama))
    for name in (f"blk.0.{name}.weight" for name in NAMES.values()):
        change = found[f"{name}.lora_b"] @ found[f"{name}.lora_a"]
        assert np.allclose(change, after[name] - before[name], atol=1e-4)
    assert len(found) == 2 * len(NAMES)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("peft_type", "ADALORA"),
        ("use_dora", True),
        ("bias", "all"),
        ("modules_to_save", ["lm_head"]),
        ("fan_in_fan_out", True),
        ("alora_invocation_tokens", [1, 2]),
    ],
)
def test_option_that_llama_cpp_does_not_compute_is_refused_by_name(
    tmp_path: Path, tiny_llama: Path, converted: Convert, option: str, value: object
) -> None:
    """Nothing is approximated silently."""
    write_adapter(tmp_path / "adapter", tiny_llama, **{option: value})
    with pytest.raises(ConversionError, match=rf"adapter_config.json: '{option}' must be"):
        made(tmp_path, converted(tiny_llama))


def test_tensor_of_no_linear_layer_is_refused_by_name(tmp_path: Path, tiny_llama: Path, converted: Convert) -> None:
    """Such as an adapter of the embedding."""
    write_adapter(tmp_path / "adapter", tiny_llama)
    tensors = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    tensors["base_model.model.model.embed_tokens.lora_embedding_A"] = np.zeros((RANK, 600), np.float32)
    save_file(tensors, tmp_path / "adapter" / "adapter_model.safetensors")
    with pytest.raises(ConversionError, match="lora_embedding_A is no adapter of a linear layer"):
        made(tmp_path, converted(tiny_llama))
