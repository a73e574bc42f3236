"""Makes tiny Llama models with random weights, whose tokens are bytes."""

from pathlib import Path

import numpy as np
from gguf import GGUFWriter, TokenType

SPECIAL = ("<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message.role + '|>' + message.content + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
_BYTE_TOKENS = 256
_MERGED = ("Ġ", "t")  # llama.cpp loads no byte-level BPE without a merge.


def write_tiny_model(
    path: Path,
    *,
    layers: int = 2,
    width: int = 64,
    context_length: int = 2048,
    template: str | None = TEMPLATE,
    seed: int = 0,
    value: float | None = None,
) -> Path:
    """Writes a model and returns its path; `value` stands in the place of every weight where it is given."""
    generator = np.random.default_rng(seed)
    vocabulary = _BYTE_TOKENS + 1 + len(SPECIAL)
    hidden = 2 * width

    def tensor(*shape: int) -> np.ndarray:
        scale = 1.0 / np.sqrt(shape[-1])
        random = generator.normal(0.0, scale, shape).astype(np.float32)
        return random if value is None else np.full(shape, value, np.float32)

    writer = GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(context_length)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_rope_dimension_count(width // 4)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(vocabulary)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([*_byte_texts(), "".join(_MERGED), *SPECIAL])
    writer.add_token_types([TokenType.NORMAL] * (_BYTE_TOKENS + 1) + [TokenType.CONTROL] * len(SPECIAL))
    writer.add_token_merges([" ".join(_MERGED)])
    writer.add_eos_token_id(_BYTE_TOKENS + 1)
    writer.add_bos_token_id(_BYTE_TOKENS + 1)
    writer.add_add_bos_token(False)
    if template is not None:
        writer.add_chat_template(template)
    writer.add_tensor("token_embd.weight", tensor(vocabulary, width))
    for layer in range(layers):
        writer.add_tensor(f"blk.{layer}.attn_norm.weight", np.ones(width, np.float32))
        writer.add_tensor(f"blk.{layer}.attn_q.weight", tensor(width, width))
        writer.add_tensor(f"blk.{layer}.attn_k.weight", tensor(width // 2, width))
        writer.add_tensor(f"blk.{layer}.attn_v.weight", tensor(width // 2, width))
        writer.add_tensor(f"blk.{layer}.attn_output.weight", tensor(width, width))
        writer.add_tensor(f"blk.{layer}.ffn_norm.weight", np.ones(width, np.float32))
        writer.add_tensor(f"blk.{layer}.ffn_gate.weight", tensor(hidden, width))
        writer.add_tensor(f"blk.{layer}.ffn_up.weight", tensor(hidden, width))
        writer.add_tensor(f"blk.{layer}.ffn_down.weight", tensor(width, hidden))
    writer.add_tensor("output_norm.weight", np.ones(width, np.float32))
    writer.add_tensor("output.weight", 2.0 * tensor(vocabulary, width))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _byte_texts() -> list[str]:
    """Returns how byte-level BPE spells each byte (GPT-2's encoder.py, bytes_to_unicode)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = (byte for byte in range(_BYTE_TOKENS) if byte not in printable)
    spelled = {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}
    return [spelled[byte] for byte in range(_BYTE_TOKENS)]
