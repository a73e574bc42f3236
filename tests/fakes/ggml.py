"""Makes tiny GPT-2 models with random weights as legacy GGML files, whose tokens are bytes."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

MERGED = (b"the", b" the", b"er", b" \xe4\xb8\x96", b"\xf0\x9f\x98\x80", b"    ", b"1234", b"'re")
END = b"<|endoftext|>"
VOCABULARY = (*(bytes([byte]) for byte in range(256)), *MERGED, END)
_F32 = 0
_MAGIC = 0x67676D6C
_SCALE = 4.0
"""Of the weights: large enough for texts that differ."""

Tensor = tuple[str, np.ndarray]


def write_tiny_gpt2(
    directory: Path,
    *,
    layers: int = 2,
    width: int = 32,
    heads: int = 4,
    context_length: int = 128,
    vocabulary: tuple[bytes, ...] = VOCABULARY,
    seed: int = 0,
    value: float | None = None,
) -> Path:
    """Writes `model.bin` and its `config.json`; `value` stands in the place of every weight where it is given."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    path = directory / "model.bin"
    with path.open("wb") as file:
        file.write(struct.pack("<7i", _MAGIC, len(vocabulary), context_length, width, heads, layers, _F32))
        file.write(struct.pack("<i", len(vocabulary)))
        for piece in vocabulary:
            file.write(struct.pack("<i", len(piece)) + piece)
        for name, tensor in _tensors(layers, width, context_length, len(vocabulary), seed):
            data = tensor if value is None else np.full_like(tensor, value)
            file.write(struct.pack("<3i", data.ndim, len(name), _F32))
            file.write(struct.pack(f"<{data.ndim}i", *reversed(data.shape)))
            file.write(name.encode() + data.tobytes())
    return path


def _tensors(layers: int, width: int, context_length: int, vocabulary: int, seed: int) -> Iterator[Tensor]:
    generator = np.random.default_rng(seed)

    def random(*shape: int) -> np.ndarray:
        return generator.normal(0.0, _SCALE / np.sqrt(shape[-1]), shape).astype(np.float32)

    yield from _norm("model/ln_f", width)
    yield "model/wte", random(vocabulary, width)
    yield "model/wpe", random(context_length, width)
    yield "model/lm_head", random(vocabulary, width)
    for layer in range(layers):
        name = f"model/h{layer}"
        yield from _norm(f"{name}/ln_1", width)
        yield from _norm(f"{name}/ln_2", width)
        for part, outputs, inputs in (
            ("attn/c_attn", 3 * width, width),
            ("attn/c_proj", width, width),
            ("mlp/c_fc", 4 * width, width),
            ("mlp/c_proj", width, 4 * width),
        ):
            yield f"{name}/{part}/w", random(outputs, inputs)
            yield f"{name}/{part}/b", random(outputs)


def _norm(name: str, width: int) -> Iterator[Tensor]:
    yield f"{name}/g", np.ones(width, np.float32)
    yield f"{name}/b", np.zeros(width, np.float32)
