"""The scores of a forward, without a call of the library for each row."""

import ctypes
from pathlib import Path

import llama_cpp.llama_cpp as C
import numpy as np
import pytest

from llm_inference_api.backends.llama.backend import ContextSizes, LlamaBackend, LlamaModel
from llm_inference_api.engine.backend import Row
from llm_inference_api.requests.engine_config import GpuChoice


def test_each_row_has_the_scores_that_llama_cpp_has_for_it(tiny_model: Path) -> None:
    """Rows of several sequences, some of which want none."""
    model = LlamaModel(tiny_model, GpuChoice(), on_progress=lambda fraction: None)
    backend = LlamaBackend(model, ContextSizes(cells=512, seats=8, batch_tokens=64, threads=1))
    wanting = (1, 2, 5, 7)
    rows = [Row(65 + at, at // 3, at % 3, at in wanting) for at in range(8)]
    backend.forward(rows)
    seen = [backend._outputs.row(row).tobytes() for row in wanting]
    size = 4 * model.vocabulary.size
    assert seen == [ctypes.string_at(C.llama_get_logits_ith(backend._context, row), size) for row in wanting]
    assert len(set(seen)) == len(wanting)
    with pytest.raises(KeyError):
        backend._outputs.row(0)
    backend.close()


def test_forward_without_wanted_scores_has_none(tiny_model: Path) -> None:
    """A chunk in the middle of a prompt."""
    model = LlamaModel(tiny_model, GpuChoice(), on_progress=lambda fraction: None)
    backend = LlamaBackend(model, ContextSizes(cells=512, seats=8, batch_tokens=64, threads=1))
    backend.forward([Row(65, 0, 0, True)])
    backend.forward([Row(66, 1, 0, False)])
    with pytest.raises(KeyError):
        backend._outputs.row(0)
    backend.forward([Row(67, 2, 0, True)])
    assert np.isfinite(backend._outputs.row(0)).all()
    backend.close()
