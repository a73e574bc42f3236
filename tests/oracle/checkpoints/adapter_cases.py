"""Tiny checkpoints with two LoRA adapters, and how these are chosen.

Imported by the tests, and by the program that has transformers and peft and not this service.
"""

from typing import Any

from tests.oracle.checkpoints.cases import VOCABULARY

MODELS = ("llama", "qwen2", "qwen3")
RANK = 4
CHOICES: dict[str, dict[str, float]] = {
    "base": {},
    "a": {"a": 1.0},
    "b": {"b": 1.0},
    "half of a": {"a": 0.5},
    "both": {"a": 0.5, "b": 1.0},
}
CONFIG: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
    "tie_word_embeddings": False,
}
