"""LoRA adapters as peft writes and computes them."""

from pathlib import Path

import numpy as np
import pytest

from llm_inference_api.backends.llama.backend import ContextSizes, LlamaBackend, LlamaModel
from llm_inference_api.engine.backend import Row
from llm_inference_api.models.convert.adapter import convert_adapter
from llm_inference_api.requests.adapters import Adapter
from llm_inference_api.requests.engine_config import GpuChoice
from tests.oracle.checkpoints.adapter_cases import CHOICES, MODELS
from tests.oracle.checkpoints.comparing import COSINE, cosines
from tests.oracle.checkpoints.making import make

pytestmark = [pytest.mark.oracle, pytest.mark.timeout(900)]


@pytest.mark.parametrize("model_type", MODELS)
def test_scores_with_two_adapters_in_one_load_are_pefts(model_type: str, tmp_path: Path) -> None:
    """Of none, each, and both, at scales of 1 and 0.5."""
    make("adapter_program", model_type, tmp_path, "peft")
    said = np.load(tmp_path / "answers.npz")
    path = tmp_path / "model.gguf"
    files = {name: tmp_path / f"{name}.gguf" for name in "ab"}
    for name, file in files.items():
        convert_adapter(tmp_path / "adapters" / name, path, file, progress=lambda *_: None)
    backend = LlamaBackend(LlamaModel(path, GpuChoice(layers=0), lambda _: None, files), ContextSizes(256, 2, 64, 1))
    for name, scales in CHOICES.items():
        backend.adapt(tuple(Adapter(*item) for item in scales.items()))
        backend.truncate(0, 0)
        backend.forward([Row(int(token), at, 0, wants_scores=True) for at, token in enumerate(said["prompt"])])
        ours = np.stack([backend._outputs.row(at) for at in range(len(said["prompt"]))])
        assert cosines(ours, said[name]).min() >= COSINE, name
        if scales:
            assert cosines(ours, said["base"]).min() < 0.99, name
