"""Checkpoints with weights from a seed, so that fixtures need only names and shapes."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

FIXTURES = Path(__file__).parent / "fixtures"


def seeded_weights(shapes: Mapping[str, list[int]], seed: int = 5) -> dict[str, np.ndarray]:
    """Returns float32 weights with which every part of a model affects the logits.

    Norms differ from one, biases from zero, and attention is far from uniform. The reference logits depend on these
    very numbers, which numpy's compatibility policy for RandomState freezes.
    """
    source = np.random.RandomState(seed)
    return {name: _values(source, name, tuple(shape)) for name, shape in sorted(shapes.items())}


def _values(source: np.random.RandomState, name: str, shape: tuple[int, ...]) -> np.ndarray:
    values = source.standard_normal(shape).astype(np.float32)
    if name.endswith("bias"):
        return values * np.float32(0.3)
    if len(shape) == 1:
        return np.float32(1) + values * np.float32(0.2)
    if "embed" in name or "wte" in name:
        return values * np.float32(0.15)
    return values * np.float32(1.4 / np.sqrt(shape[-1]))


def write_checkpoint(
    directory: Path, config: Mapping[str, object], shapes: Mapping[str, list[int]], tokenizer: str
) -> Path:
    """Writes a checkpoint with seeded weights and a tokenizer of the fixtures; returns its directory."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config))
    for file in (FIXTURES / "tokenizers" / tokenizer).iterdir():
        if file.name not in ("reference.npz", "special_lines.json"):
            shutil.copy(file, directory / file.name)
    save_file(seeded_weights(shapes), directory / "model.safetensors")
    return directory


def write_encoder(directory: Path, name: str) -> Path:
    """Writes the checkpoint of a case in fixtures/embeddings with seeded weights; returns its directory."""
    case = json.loads((FIXTURES / "embeddings" / name / "case.json").read_text())
    shutil.copytree(FIXTURES / "embeddings" / name / "files", directory)
    (directory / "config.json").write_text(json.dumps(case["config"]))
    save_file(seeded_weights(case["shapes"]), directory / "model.safetensors")
    return directory


TINY_LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": 600,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
}

TINY_LLAMA_SHAPES = {
    "model.embed_tokens.weight": [600, 16],
    "lm_head.weight": [600, 16],
    "model.norm.weight": [16],
    "model.layers.0.input_layernorm.weight": [16],
    "model.layers.0.post_attention_layernorm.weight": [16],
    **{f"model.layers.0.self_attn.{p}_proj.weight": [16, 16] for p in "qkvo"},
    "model.layers.0.mlp.gate_proj.weight": [24, 16],
    "model.layers.0.mlp.up_proj.weight": [24, 16],
    "model.layers.0.mlp.down_proj.weight": [16, 24],
}
