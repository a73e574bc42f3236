"""llama-cpp-python's own way to compute, for tests that compare with it."""

from pathlib import Path
from typing import Any

from llama_cpp.llama import Llama

from llm_inference_api.backends.llama.devices import load_backends


def load_oracle(path: Path, **options: Any) -> Llama:
    """Returns the model; `options` are those of `llama_cpp.Llama`.

    It computes with what the service computes with: on processors with AMX, llama.cpp's kernels for it are left out
    where the build has broken them.
    """
    load_backends()
    return Llama(str(path), verbose=False, **options)
