"""LoRA adapters of random weights for the models of `tests/fakes/gguf.py`."""

import json
from pathlib import Path

import numpy as np
from gguf import GGUFReader, GGUFValueType, GGUFWriter
from safetensors.numpy import save_file

RANK = 4
ALPHA = 8.0
ADAPTED = ("blk.0.attn_q.weight", "blk.1.ffn_down.weight")


def write_tiny_adapter(
    path: Path,
    model: Path,
    *,
    seed: int = 0,
    strength: float = 0.5,
    adapted: tuple[str, ...] = ADAPTED,
    invocation: tuple[int, ...] = (),
) -> Path:
    """Writes an adapter of the model and returns its path. With invocation tokens it is an activated LoRA."""
    generator = np.random.default_rng(seed)
    writer = GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", ALPHA)
    if invocation:
        writer.add_key_value(
            "adapter.alora.invocation_tokens", list(invocation), GGUFValueType.ARRAY, GGUFValueType.UINT32
        )
    for tensor in GGUFReader(model).tensors:
        if tensor.name in adapted:
            columns, rows = tensor.shape.tolist()
            a = generator.normal(0.0, columns**-0.5, (RANK, columns))
            b = generator.normal(0.0, strength, (rows, RANK))
            writer.add_tensor(f"{tensor.name}.lora_a", a.astype(np.float32))
            writer.add_tensor(f"{tensor.name}.lora_b", b.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_peft_adapter(directory: Path, same: Path, model: Path) -> None:
    """Writes an adapter of a feed-forward layer as peft does, and the same one as a GGUF file."""
    write_tiny_adapter(same, model, adapted=ADAPTED[1:])
    parts = {tensor.name.rpartition("_")[2]: np.array(tensor.data) for tensor in GGUFReader(same).tensors}
    start = "base_model.model.model.layers.1.mlp.down_proj"
    save_file(
        {f"{start}.lora_A.weight": parts["a"], f"{start}.lora_B.weight": parts["b"]},
        directory / "adapter_model.safetensors",
    )
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA}
    (directory / "adapter_config.json").write_text(json.dumps(config))


def merge(model: Path, adapter: Path, scale: float) -> None:
    """Adds what the adapter says to the model's weights, in its file."""
    parts = {tensor.name: np.array(tensor.data) for tensor in GGUFReader(adapter).tensors}
    for tensor in GGUFReader(model, "r+").tensors:
        if tensor.name in ADAPTED:
            change = parts[f"{tensor.name}.lora_b"] @ parts[f"{tensor.name}.lora_a"]
            tensor.data[:] += scale * ALPHA / RANK * change
