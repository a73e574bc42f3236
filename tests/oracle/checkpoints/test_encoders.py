"""Vectors and ranks of checkpoints made by transformers and converted by llama.cpp's own converter."""

from pathlib import Path

import numpy as np
import pytest

from llm_inference_api.backends.llama.backend import LlamaModel
from llm_inference_api.backends.llama.embedder import LlamaEmbedder
from llm_inference_api.backends.llama.ranker import LlamaRanker
from llm_inference_api.requests.engine_config import GpuChoice
from llm_inference_api.text.pairs import Pair
from tests.oracle.checkpoints.comparing import COSINE, cosines
from tests.oracle.checkpoints.encoder_cases import EMBEDDERS, LENGTHS, RANKERS
from tests.oracle.checkpoints.making import make

pytestmark = [pytest.mark.oracle, pytest.mark.timeout(900)]

CONTEXT = 256
NEAR = 0.002
"""Of a relevance from 0 to 1."""


def made(case: str, directory: Path) -> tuple[LlamaModel, list[list[int]], np.ndarray]:
    """Returns the model, the texts' tokens, and what transformers computes of them."""
    make("encoder_program", case, directory)
    said = np.load(directory / "answers.npz")
    model = LlamaModel(directory / "model.gguf", GpuChoice(layers=0), lambda _: None)
    return model, [said[f"text{number}"].tolist() for number in range(len(LENGTHS))], said["computed"]


@pytest.mark.parametrize("case", EMBEDDERS)
def test_vectors_are_transformers(case: str, tmp_path: Path) -> None:
    model, texts, theirs = made(case, tmp_path)
    embedder = LlamaEmbedder(model, CONTEXT, 1)
    ours = np.stack([embedder.vector(text, lambda: None) for text in texts])
    assert np.abs(cosines(theirs[:1], theirs[1:])).max() < 0.99  # Texts are not alike anyway.
    assert cosines(ours, theirs).min() >= COSINE


@pytest.mark.parametrize("case", RANKERS)
def test_ranks_are_transformers(case: str, tmp_path: Path) -> None:
    model, texts, theirs = made(case, tmp_path)
    ranker = LlamaRanker(model, CONTEXT, 1)
    ours = np.array([ranker.score(Pair(text, len(text)), lambda: None) for text in texts])
    assert np.diff(np.sort(theirs[:, 0])).min() > 2 * NEAR
    assert np.abs(ours - theirs[:, 0]).max() < NEAR
    assert np.argsort(ours).tolist() == np.argsort(theirs[:, 0]).tolist()
