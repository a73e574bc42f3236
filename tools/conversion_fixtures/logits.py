"""Records transformers' logits for the tiny checkpoints."""

import json
import tempfile
from functools import reduce
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import save_file
from transformers import AutoModelForCausalLM

from tests.models.convert.seeded_checkpoint import seeded_weights
from tools.conversion_fixtures.cases import CASES, VOCAB, Case


def generate(root: Path) -> None:
    """Writes a directory for each case: case.json with configuration and shapes, reference.npz with logits.

    reference.npz holds `tokens` (uint16), `logits` (positions, vocabulary; float16) and `best`, the token of the
    highest logit at each position (uint16).
    """
    for name, case in CASES.items():
        with tempfile.TemporaryDirectory() as directory:
            _generate_one(root / name, case, Path(directory), qwen1=name == "qwen1")
        print(name, flush=True)


def _generate_one(target: Path, case: Case, work: Path, *, qwen1: bool) -> None:
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(case.config).to(torch.float32).save_pretrained(work)
    with safe_open(work / "model.safetensors", "np") as file:
        shapes = {key: list(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118 - it cannot be iterated
    if qwen1:
        shapes = _qwen1_shapes(shapes)
    weights = seeded_weights(shapes)
    save_file(_as_qwen2(weights) if qwen1 else weights, work / "model.safetensors", {"format": "pt"})
    model = AutoModelForCausalLM.from_pretrained(work, dtype=torch.float32, attn_implementation="eager").eval()
    tokens = np.random.RandomState(3).randint(3, VOCAB - 20, case.length).astype(np.uint16)
    with torch.no_grad():
        logits = model(torch.tensor(tokens.astype(np.int64))[None]).logits[0].numpy()
    target.mkdir(parents=True, exist_ok=True)
    config = json.loads((work / "config.json").read_text())
    record = {
        "family": case.family,
        "features": case.features,
        "tokenizer": case.tokenizer,
        "context": case.context,
        "config": _qwen1_config(config) if qwen1 else config | case.changes,
        "shapes": shapes,
    }
    (target / "case.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    np.savez_compressed(
        target / "reference.npz",
        tokens=tokens,
        logits=logits.astype(np.float16),
        best=logits.argmax(1).astype(np.uint16),
    )


# transformers does not have the first Qwen, which computes as a Qwen2 with as many key heads as query heads does.

_QWEN1_NAMES = {
    "input_layernorm": "ln_1",
    "post_attention_layernorm": "ln_2",
    "self_attn.o_proj": "attn.c_proj",
    "mlp.up_proj": "mlp.w1",
    "mlp.gate_proj": "mlp.w2",
    "mlp.down_proj": "mlp.c_proj",
    "model.layers.": "transformer.h.",
    "model.norm": "transformer.ln_f",
    "model.embed_tokens": "transformer.wte",
}
"""Qwen's parts of tensor names by Qwen2's."""
_QWEN2_NAMES = {new: old for old, new in _QWEN1_NAMES.items()}


def _renamed(name: str, parts: dict[str, str]) -> str:
    return reduce(lambda renamed, part: renamed.replace(*part), parts.items(), name)


def _qwen1_shapes(shapes: dict[str, list[int]]) -> dict[str, list[int]]:
    """Returns the shapes of a Qwen, whose projections of queries, keys and values are fused, from those of a Qwen2."""
    apart = (".q_proj", ".k_proj", ".v_proj")
    renamed = {
        _renamed(name, _QWEN1_NAMES): shape
        for name, shape in shapes.items()
        if not any(projection in name for projection in apart)
    }
    fused = {
        _renamed(name.replace("self_attn.q_proj", "attn.c_attn"), _QWEN1_NAMES): [3 * shape[0], *shape[1:]]
        for name, shape in shapes.items()
        if ".q_proj" in name
    }
    return renamed | fused


def _as_qwen2(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the weights of a Qwen under Qwen2's names, with its fused projections split."""
    result = {}
    for name, values in weights.items():
        renamed = _renamed(name, _QWEN2_NAMES)
        if "attn.c_attn" not in renamed:
            result[renamed] = values
            continue
        for part, chunk in zip("qkv", np.split(values, 3), strict=True):
            result[renamed.replace("attn.c_attn", f"self_attn.{part}_proj")] = np.ascontiguousarray(chunk)
    return result


def _qwen1_config(config: dict[str, object]) -> dict[str, object]:
    """Returns the config.json of a Qwen that computes as a Qwen2 does."""
    return {
        "architectures": ["QWenLMHeadModel"],
        "model_type": "qwen",
        "hidden_size": config["hidden_size"],
        "intermediate_size": 2 * int(str(config["intermediate_size"])),
        "num_hidden_layers": config["num_hidden_layers"],
        "num_attention_heads": config["num_attention_heads"],
        "vocab_size": config["vocab_size"],
        "seq_length": 256,
        "max_position_embeddings": 256,
        "layer_norm_epsilon": 1e-6,
        "rotary_emb_base": 10000,
        "rotary_pct": 1.0,
        "kv_channels": 12,
        "no_bias": True,
        "scale_attn_weights": True,
        "use_dynamic_ntk": True,
        "use_logn_attn": True,
        "tie_word_embeddings": False,
        "bf16": True,
    }
