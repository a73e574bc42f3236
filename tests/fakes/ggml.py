"""Makes tiny models with random weights as legacy GGML files, whose tokens are bytes."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

MERGED = (b"the", b" the", b"er", b" \xe4\xb8\x96", b"\xf0\x9f\x98\x80", b"    ", b"1234", b"'re")
END = b"<|endoftext|>"
VOCABULARY = (*(bytes([byte]) for byte in range(256)), *MERGED, END)
_SPACE = "▁".encode()
_F32 = 0
_MAGIC = 0x67676D6C
_SCALE = 4.0
"""Of the weights: large enough for texts that differ."""

_GPT2 = (
    "model/ln_f/g:W model/ln_f/b:W model/wte:V*W model/wpe:C*W model/lm_head:V*W",
    "model/h{}/",
    "ln_1/g:W ln_1/b:W attn/c_attn/w:3W*W attn/c_attn/b:3W attn/c_proj/w:W*W attn/c_proj/b:W",
    "ln_2/g:W ln_2/b:W mlp/c_fc/w:4W*W mlp/c_fc/b:4W mlp/c_proj/w:W*4W mlp/c_proj/b:W",
)
_GPTJ = (
    "transformer.wte.weight:V*W transformer.ln_f.weight:W transformer.ln_f.bias:W lm_head.weight:V*W lm_head.bias:V",
    "transformer.h.{}.",
    "ln_1.weight:W ln_1.bias:W attn.q_proj.weight:W*W attn.k_proj.weight:W*W attn.v_proj.weight:W*W",
    "attn.out_proj.weight:W*W mlp.fc_in.weight:4W*W mlp.fc_in.bias:4W mlp.fc_out.weight:W*4W mlp.fc_out.bias:W",
)
_NEOX_NORM = "gpt_neox.final_layer_norm.weight:W gpt_neox.final_layer_norm.bias:W"
_NEOX = (
    f"{_NEOX_NORM} gpt_neox.embed_in.weight:V*W embed_out.weight:V*W",
    "gpt_neox.layers.{}.",
    "input_layernorm.weight:W input_layernorm.bias:W attention.query_key_value.weight:3W*W",
    "attention.query_key_value.bias:3W attention.dense.weight:W*W attention.dense.bias:W",
    "post_attention_layernorm.weight:W post_attention_layernorm.bias:W mlp.dense_h_to_4h.weight:4W*W",
    "mlp.dense_h_to_4h.bias:4W mlp.dense_4h_to_h.weight:W*4W mlp.dense_4h_to_h.bias:W",
)
_MOSAIC = (
    "transformer.wte.weight:V*W transformer.norm_f.weight:W",
    "transformer.blocks.{}.",
    "norm_1.weight:W attn.Wqkv.weight:3W*W attn.out_proj.weight:W*W",
    "norm_2.weight:W ffn.up_proj.weight:4W*W ffn.down_proj.weight:W*4W",
)
_TENSORS = {
    "gpt2": _GPT2,
    "gpt_bigcode": _GPT2,
    "gptj": _GPTJ,
    "gpt_neox": _NEOX,
    "dolly-v2": _NEOX,
    "mpt": _MOSAIC,
    "replit": _MOSAIC,
}
"""Names and shapes of the tensors that a model has once; how those of a layer begin, and what follows."""
ARCHITECTURES = tuple(_TENSORS)


def write_tiny_model(
    directory: Path,
    *,
    architecture: str = "gpt2",
    layers: int = 2,
    width: int = 32,
    context_length: int = 128,
    vocabulary: tuple[bytes, ...] = VOCABULARY,
    value: float | None = None,
) -> Path:
    """Writes `model.bin` and its `config.json`; `value` stands in the place of every weight where it is given."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps({"model_type": architecture}))
    path = directory / "model.bin"
    heads = 4
    with path.open("wb") as file:
        file.write(struct.pack("<i", _MAGIC))
        file.write(_numbers(architecture, len(vocabulary), context_length, width, heads, layers))
        file.writelines(_token(architecture, piece) for piece in vocabulary)
        sizes = {"V": len(vocabulary), "C": context_length, "W": width, "3W": 3 * width, "4W": 4 * width}
        for name, tensor in _tensors(architecture, layers, sizes):
            data = tensor if value is None else np.full_like(tensor, value)
            file.write(struct.pack("<3i", data.ndim, len(name), _F32))
            file.write(struct.pack(f"<{data.ndim}i", *reversed(data.shape)))
            file.write(name.encode() + data.tobytes())
    return path


def _numbers(architecture: str, vocabulary: int, *sizes: int) -> bytes:
    context_length, width, heads, layers = sizes
    rotary = width // heads
    gpt = (vocabulary, context_length, width, heads, layers)
    mosaic = (width, context_length, heads, layers, vocabulary)
    match architecture:
        case "gpt2" | "gpt_bigcode":
            return struct.pack("<7i", *gpt, _F32, vocabulary)
        case "gptj":
            return struct.pack("<8i", *gpt, rotary, _F32, vocabulary)
        case "gpt_neox" | "dolly-v2":
            return struct.pack("<8i", *gpt, rotary, 1, _F32)
        case "mpt":
            return struct.pack("<5i2fi", *mosaic, 8.0, 0.0, _F32)
        case _:
            return struct.pack("<6i", *mosaic, _F32)


def _token(architecture: str, piece: bytes) -> bytes:
    if architecture == "mpt":
        piece = piece.decode("latin-1").encode()
    if architecture == "replit":
        piece = piece.replace(b" ", _SPACE)
        return struct.pack("<i", len(piece)) + piece + struct.pack("<f", -2.0 + len(piece) / 64)
    return struct.pack("<i", len(piece)) + piece


def _tensors(architecture: str, layers: int, sizes: dict[str, int]) -> Iterator[tuple[str, np.ndarray]]:
    generator = np.random.default_rng(0)
    once, prefix, *per_layer = _TENSORS[architecture]
    layered = [prefix.format(layer) + entry for layer in range(layers) for part in per_layer for entry in part.split()]
    for entry in [*once.split(), *layered]:
        name, _, shape = entry.partition(":")
        dimensions = [sizes[size] for size in shape.split("*")]
        if "ln_" in name or "norm" in name:
            tensor = np.zeros(dimensions) if name.endswith(("/b", ".bias")) else np.ones(dimensions)
        else:
            tensor = generator.normal(0.0, _SCALE / np.sqrt(dimensions[-1]), dimensions)
        yield name, tensor.astype(np.float32)
