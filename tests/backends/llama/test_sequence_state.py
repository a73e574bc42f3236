"""Sequences of a hybrid model, copied out of llama.cpp and back."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from llm_inference_api.backends.llama.backend import ContextSizes, LlamaBackend, LlamaModel
from llm_inference_api.engine.backend import BackendError, Row
from llm_inference_api.errors import ModelFailedError
from llm_inference_api.requests.engine_config import GpuChoice
from tests.fakes.recurrent import write_recurrent_model

TOKENS = [number * 7 % 256 for number in range(60)]


def load(path: Path) -> LlamaModel:
    return LlamaModel(path, GpuChoice(layers=0), lambda _: None)


@pytest.fixture(params=["granitehybrid", "mamba", "lfm2 with a window"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LlamaBackend]:
    name, _, windowed = request.param.partition(" ")
    keys = {"attention.sliding_window": 16} if windowed else None
    path = write_recurrent_model(tmp_path / "model.gguf", name, keys=keys)
    backend = LlamaBackend(load(path), ContextSizes(256, 2, 64, 1))
    yield backend
    backend.close()


def compute(backend: LlamaBackend, start: int, end: int, seat: int = 0) -> npt.NDArray[np.float32]:
    """Returns the scores after the last token."""
    backend.forward([Row(TOKENS[at], at, seat, at == end - 1) for at in range(start, end)])
    return np.array(backend._outputs.row(end - start - 1))


def test_sequence_goes_on_from_its_parts_as_if_it_had_not_ended(backend: LlamaBackend) -> None:
    """Of the parts before the last one only the keys and values are needed."""
    expected = compute(backend, 0, 60)
    backend.clear()
    parts = []
    for start, end in ((0, 20), (20, 50)):
        compute(backend, start, end)
        parts.append(backend.save(0, start, end))
    compute(backend, 50, 55)
    backend.truncate(0, 0)
    backend.restore(1, parts[0].cells, 0, 20)
    backend.restore(1, parts[1], 20, 30)
    assert compute(backend, 50, 60, seat=1) == pytest.approx(expected, abs=0.03)


def test_size_is_that_of_both_parts(backend: LlamaBackend) -> None:
    """The store counts it."""
    compute(backend, 0, 20)
    state = backend.save(0, 0, 20)
    assert state.nbytes == state.cells.nbytes + (0 if state.layers is None else state.layers.nbytes)
    assert state.nbytes > state.cells.nbytes or state.layers is None


def test_state_of_other_tokens_is_not_taken(backend: LlamaBackend) -> None:
    """llama.cpp would copy or keep the one that is there, or do nothing."""
    compute(backend, 0, 20)
    with pytest.raises(BackendError, match="the state of seat 0"):
        backend.copy_prefix(0, 1, 10)
    with pytest.raises(BackendError, match="the state of seat 0"):
        backend.save(0, 0, 10)
    with pytest.raises(BackendError, match="cannot drop the tokens of seat 0 from 10 on"):
        backend.truncate(0, 10)


def test_more_sequences_than_rows_of_a_step_have_a_context(tmp_path: Path) -> None:
    """Settings allow that."""
    path = write_recurrent_model(tmp_path / "model.gguf", "mamba")
    LlamaBackend(load(path), ContextSizes(256, 100, 64, 1)).close()


@pytest.mark.parametrize("architecture", ["deepseek4", "glm5-next", "qwen4exp"])
def test_states_that_were_not_tried_are_refused_by_name(architecture: str, model: LlamaModel) -> None:
    """Their caches have more in them than what is saved here."""
    renamed = type("Renamed", (), {"handle": model.handle, "metadata": {"general.architecture": architecture}})
    with pytest.raises(ModelFailedError, match=architecture):
        LlamaModel._refuse_unsupported(renamed())


@pytest.fixture
def model(tmp_path: Path) -> LlamaModel:
    return load(write_recurrent_model(tmp_path / "model.gguf", "mamba"))
