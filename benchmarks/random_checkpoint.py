"""Writes a checkpoint with random weights and the shape of TinyLlama-1.1B: 2.2 GB of float16 in safetensors.

Run as `python -m benchmarks.random_checkpoint DIRECTORY`. Speed and size are those of the real model, its output is
noise. The tokenizer is one of the tests' fixtures, so that most of the 32,000 tokens are unused.
"""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

TOKENIZER = Path(__file__).parent.parent / "tests/models/convert/fixtures/tokenizers/llama2"
WIDTH, HIDDEN, LAYERS, HEADS, KV_HEADS, VOCABULARY = 2048, 5632, 22, 32, 4, 32000
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": WIDTH,
    "intermediate_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-5,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "torch_dtype": "float16",
}


def write(directory: Path) -> None:
    """Writes the checkpoint: a shard for the embedding and output matrix, and one for each layer."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(CONFIG))
    for name in ("tokenizer.json", "tokenizer.model"):
        shutil.copy(TOKENIZER / name, directory / name)
    generator = np.random.default_rng(0)
    shards = [_ends(generator), *(_layer(generator, index) for index in range(LAYERS))]
    places = {}
    for index, shard in enumerate(shards, 1):
        file = f"model-{index:05}-of-{len(shards):05}.safetensors"
        save_file(shard, directory / file)
        places |= dict.fromkeys(shard, file)
    (directory / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


def _matrix(generator: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    return (generator.standard_normal((rows, columns), np.float32) / np.sqrt(columns)).astype(np.float16)


def _ends(generator: np.random.Generator) -> dict[str, np.ndarray]:
    return {
        "model.embed_tokens.weight": _matrix(generator, VOCABULARY, WIDTH),
        "lm_head.weight": _matrix(generator, VOCABULARY, WIDTH),
        "model.norm.weight": np.ones(WIDTH, np.float16),
    }


def _layer(generator: np.random.Generator, index: int) -> dict[str, np.ndarray]:
    kv = WIDTH // HEADS * KV_HEADS
    shapes = {
        "self_attn.q_proj": (WIDTH, WIDTH),
        "self_attn.k_proj": (kv, WIDTH),
        "self_attn.v_proj": (kv, WIDTH),
        "self_attn.o_proj": (WIDTH, WIDTH),
        "mlp.gate_proj": (HIDDEN, WIDTH),
        "mlp.up_proj": (HIDDEN, WIDTH),
        "mlp.down_proj": (WIDTH, HIDDEN),
    }
    prefix = f"model.layers.{index}"
    layer = {f"{prefix}.{name}.weight": _matrix(generator, *shape) for name, shape in shapes.items()}
    norms = ("input_layernorm", "post_attention_layernorm")
    return layer | {f"{prefix}.{name}.weight": np.ones(WIDTH, np.float16) for name in norms}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    write(parser.parse_args().directory)
