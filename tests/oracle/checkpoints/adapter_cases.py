"""Tiny checkpoints with two LoRA adapters, and how these are chosen.

Imported by the tests, and by the program that has transformers and peft and not this service.
"""

from typing import Any

from tests.oracle.checkpoints.cases import ATTENTION, COMMON

MODELS = ("llama", "qwen2", "qwen3")
RANK = 4
CHOICES: dict[str, dict[str, float]] = {
    "base": {},
    "a": {"a": 1.0},
    "b": {"b": 1.0},
    "half of a": {"a": 0.5},
    "both": {"a": 0.5, "b": 1.0},
}
CONFIG: dict[str, Any] = {**COMMON, **ATTENTION}
