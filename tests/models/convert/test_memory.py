"""Conversion needs memory for the largest tensor, not for the model."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

from tests.models.convert.seeded_checkpoint import FIXTURES

HIDDEN, LAYERS = 1024, 12

CONVERT_WITH_LIMIT = """
import resource, sys
from pathlib import Path
from llm_inference_api.models.convert.tensors.element_type import Dtype
from llm_inference_api.models.convert.conversion import convert_checkpoint

used = next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (used + int(sys.argv[3]), resource.RLIM_INFINITY))
convert_checkpoint(Path(sys.argv[1]), Path(sys.argv[2]), dtype=Dtype.FLOAT16, progress=lambda *tensors: None)
"""


def write_sparse_checkpoint(directory: Path) -> int:
    """Writes a Llama of 600 MB of zeros as a sparse file; returns the bytes of its largest tensor in float16."""
    shapes = {
        "model.embed_tokens.weight": [600, HIDDEN],
        "lm_head.weight": [600, HIDDEN],
        "model.norm.weight": [HIDDEN],
    }
    for layer in range(LAYERS):
        names = {f"self_attn.{name}_proj": [HIDDEN, HIDDEN] for name in "qkvo"}
        names |= {"mlp.gate_proj": [4 * HIDDEN, HIDDEN], "mlp.up_proj": [4 * HIDDEN, HIDDEN]}
        names |= {"mlp.down_proj": [HIDDEN, 4 * HIDDEN]}
        names |= {"input_layernorm": [HIDDEN], "post_attention_layernorm": [HIDDEN]}
        shapes |= {f"model.layers.{layer}.{name}.weight": shape for name, shape in names.items()}
    at, header = 0, {}
    for name, shape in shapes.items():
        size = 4 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    encoded = json.dumps(header).encode()
    directory.mkdir()
    with (directory / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        file.truncate(8 + len(encoded) + at)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": HIDDEN,
        "intermediate_size": 4 * HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 8,
        "vocab_size": 600,
        "max_position_embeddings": 64,
    }
    (directory / "config.json").write_text(json.dumps(config))
    tokenizer = FIXTURES / "tokenizers" / "llama3" / "tokenizer.json"
    (directory / "tokenizer.json").write_bytes(tokenizer.read_bytes())
    return 2 * 4 * HIDDEN * HIDDEN


def test_memory_is_bounded_by_the_largest_tensor(tmp_path: Path) -> None:
    """600 MB are converted within the memory of a few tensors of 8 MB and their float32 chunks."""
    largest = write_sparse_checkpoint(tmp_path / "large")
    allowed = 4 * largest + 64 * 1024 * 1024
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [
        sys.executable,
        "-c",
        CONVERT_WITH_LIMIT,
        tmp_path / "large",
        tmp_path / "m.gguf",
        str(allowed),
    ]

    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "m.gguf").stat().st_size > 2 * allowed
