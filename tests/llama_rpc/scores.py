"""Scores of a model's greedy answer, computed by this machine or by RPC servers, in a process of its own.

`python -m tests.llama_rpc.scores MODEL OUTPUT [HOST:PORT...]` writes them as NumPy's array, shape [tokens, vocabulary].
"""

import sys
from pathlib import Path

import numpy as np

from llm_inference_api.backends.llama import backend as llama
from llm_inference_api.engine.backend import Row
from llm_inference_api.requests.engine_config import GpuChoice

_PROMPT = "The capital of France is"
_TOKENS = 24


def main(model_path: str, output: str, *servers: str) -> None:
    """Computes the scores with the kernels that a server has too, which no repacked weights are for."""
    load = llama.C.llama_model_load_from_file

    def load_plainly(path: bytes, params: llama.C.llama_model_params) -> object:
        params.use_extra_bufts = False
        return load(path, params)

    llama.C.llama_model_load_from_file = load_plainly
    model = llama.LlamaModel(Path(model_path), GpuChoice(servers=servers), lambda _: None)
    assert len(model.devices) == max(len(servers), 1), model.devices
    backend = llama.LlamaBackend(model, llama.ContextSizes(256, 1, 64, 1))
    tokens, scores = backend.vocabulary.tokenize(_PROMPT, add_special=True, parse_special=False), []
    at = 0
    for _ in range(_TOKENS):
        backend.forward([Row(token, at + i, 0, i == len(tokens) - 1) for i, token in enumerate(tokens)])
        scores.append(np.array(backend._outputs.row(len(tokens) - 1)))
        at += len(tokens)
        tokens = [int(scores[-1].argmax())]
    np.save(output, np.array(scores))


if __name__ == "__main__":
    main(*sys.argv[1:])
