"""LoRA adapters, against models into whose weights they are merged."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from llm_inference_api.backends.llama.backend import ContextSizes, LlamaBackend, LlamaModel
from llm_inference_api.engine.backend import Row
from llm_inference_api.errors import ModelFailedError
from llm_inference_api.requests.adapters import Adapter, Adapters
from llm_inference_api.requests.engine_config import GpuChoice
from tests.fakes.adapter import merge, write_tiny_adapter
from tests.fakes.gguf import write_tiny_model

TOKENS = list(b"the cat sat on the mat")
CLOSE = 0.01
"""Keys and values are in F16, from which both differ. Without the adapter the scores are 1 away."""


def scores(backend: LlamaBackend, adapters: Adapters = ()) -> np.ndarray:
    backend.adapt(adapters)
    backend.truncate(0, 0)
    backend.forward([Row(token, at, 0, wants_scores=True) for at, token in enumerate(TOKENS)])
    return np.stack([backend._outputs.row(at).copy() for at in range(len(TOKENS))])


def backend_of(path: Path, **adapters: Path) -> LlamaBackend:
    model = LlamaModel(path, GpuChoice(), lambda fraction: None, adapters)
    return LlamaBackend(model, ContextSizes(256, 2, 64, 2))


def test_adapters_are_as_if_merged_into_the_weights(tmp_path: Path) -> None:
    """Each and both of two, at any scale, in one load; without them the model is what it was."""
    path = write_tiny_model(tmp_path / "model.gguf")
    files = {name: write_tiny_adapter(tmp_path / f"{name}.gguf", path, seed=seed) for seed, name in enumerate("ab")}
    backend = backend_of(path, **files)
    before = scores(backend)
    for chosen in ({"a": 1.0}, {"b": 1.0}, {"a": -0.5}, {"a": 0.5, "b": 1.5}):
        merged = tmp_path / "merged.gguf"
        shutil.copy(path, merged)
        for name, scale in chosen.items():
            merge(merged, files[name], scale)
        found = scores(backend, tuple(Adapter(*item) for item in chosen.items()))
        assert np.abs(found - before).max() > 100 * CLOSE
        assert np.allclose(found, scores(backend_of(merged)), atol=CLOSE)
    assert np.array_equal(scores(backend), before)


def test_adapter_of_another_model_is_refused_by_name(tmp_path: Path) -> None:
    """So is a file that is none."""
    path = write_tiny_model(tmp_path / "model.gguf")
    other = write_tiny_model(tmp_path / "other.gguf", width=128)
    adapter = write_tiny_adapter(tmp_path / "adapter.gguf", other)
    for file in (adapter, other):
        with pytest.raises(ModelFailedError, match="cannot load the adapter 'mine'"):
            backend_of(path, mine=file)


def test_activated_adapter_is_refused_by_name(tmp_path: Path) -> None:
    """It is to begin where a request says certain words; applied from the start, it would answer something else."""
    path = write_tiny_model(tmp_path / "model.gguf")
    adapter = write_tiny_adapter(tmp_path / "adapter.gguf", path, invocation=(5, 6))
    with pytest.raises(ModelFailedError, match="the adapter 'mine' is an activated LoRA"):
        backend_of(path, mine=adapter)
