"""Configurations as transformers 4 and earlier write them, which most published checkpoints have."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.models.convert.llama_file import opened
from tests.models.convert.seeded_checkpoint import FIXTURES, write_checkpoint

LONG = [1.0 + 0.7 * n for n in range(6)]
SHORT = [1.0 + 0.05 * n for n in range(6)]
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
OLDER: dict[str, dict[str, Any]] = {
    "llama2": {"rope_theta": 10000.0, "rope_scaling": None},
    "codellama": {"rope_theta": 1e6, "rope_scaling": {"type": "linear", "factor": 2.0}},
    "llama3": {"rope_theta": 500000.0, "rope_scaling": LLAMA3 | {"original_max_position_embeddings": 32}},
    "qwen25": {
        "rope_theta": 1e6,
        "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64},
    },
    "gemma3_linear": {
        "rope_theta": 1e6,
        "rope_local_base_freq": 10000.0,
        "rope_scaling": {"rope_type": "linear", "factor": 4.0},
        "sliding_window_pattern": 3,
        "layer_types": None,
    },
    "gemma2": {"rope_theta": 10000.0, "layer_types": None},
    "phi2": {"rope_theta": 10000.0, "partial_rotary_factor": 0.5},
    "phi35_long": {
        "rope_theta": 10000.0,
        "original_max_position_embeddings": 64,
        "rope_scaling": {"type": "su", "long_factor": LONG, "short_factor": SHORT},
    },
    "stablelm1": {"rope_theta": 10000.0, "rope_pct": 0.25, "norm_eps": 1e-5, "layer_norm_eps": None},
}
"""For each case, the fields that preceded rope_parameters and layer_types."""


def metadata(path: Path) -> dict[str, str]:
    with opened(path) as llama:
        return llama.metadata()


@pytest.mark.parametrize("name", OLDER)
def test_an_older_configuration_says_the_same(name: str, tmp_path: Path, converted: Callable[..., Path]) -> None:
    """The metadata does not depend on the version that wrote the configuration."""
    case = json.loads((FIXTURES / "logits" / name / "case.json").read_text())
    newer = write_checkpoint(tmp_path / "newer" / "m", case["config"], case["shapes"], case["tokenizer"])
    fields = {key: value for key, value in case["config"].items() if key != "rope_parameters"} | OLDER[name]
    older = write_checkpoint(tmp_path / "older" / "m", fields, case["shapes"], case["tokenizer"])

    wanted = metadata(converted(newer))

    assert metadata(converted(older)) == wanted


def test_the_text_model_of_a_multimodal_checkpoint_is_converted(tmp_path: Path, converted: Callable[..., Path]) -> None:
    """A nested configuration and nested tensor names give the same file; the vision model is left out."""
    case = json.loads((FIXTURES / "logits" / "gemma3" / "case.json").read_text())
    plain = write_checkpoint(tmp_path / "plain" / "m", case["config"], case["shapes"], case["tokenizer"])
    wanted = converted(plain).read_bytes()
    nested = {"architectures": ["Gemma3ForConditionalGeneration"], "text_config": case["config"]}
    checkpoint = write_checkpoint(tmp_path / "nested" / "m", nested, {}, case["tokenizer"])
    rename_into_multimodal(plain / "model.safetensors", checkpoint / "model.safetensors")

    assert converted(checkpoint).read_bytes() == wanted


def rename_into_multimodal(source: Path, target: Path) -> None:
    tensors = {f"language_model.{name}": values for name, values in load_file(source).items()}
    save_file(tensors | {"vision_tower.patch.weight": np.zeros((2, 2), np.float32)}, target)
