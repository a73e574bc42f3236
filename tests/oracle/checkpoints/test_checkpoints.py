"""Checkpoints made by transformers and converted by llama.cpp's own converter compute what transformers computes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from llm_inference_api.backends.llama.backend import ContextSizes, LlamaBackend, LlamaModel
from llm_inference_api.engine.backend import Row
from llm_inference_api.models.footprint import estimate
from llm_inference_api.requests.engine_config import ContextChoice, GpuChoice
from tests.models.allocated import allocated
from tests.oracle.checkpoints.cases import CASES, GREEDY, PROMPTS, VOCABULARY
from tests.oracle.checkpoints.comparing import COSINE, cosines
from tests.oracle.checkpoints.making import make

pytestmark = [pytest.mark.oracle, pytest.mark.timeout(900)]

CHUNK = 7
"""Tokens of a prompt that are computed in one step; no multiple of what kernels and models take at once."""

Scores = npt.NDArray[np.float32]
Tokens = npt.NDArray[np.int64]


class Sequences:
    """Sequences that are computed side by side, as requests are."""

    def __init__(self, path: Path) -> None:
        self._backend = LlamaBackend(
            LlamaModel(path, GpuChoice(layers=0), lambda _: None), ContextSizes(256, len(PROMPTS), 64, 1)
        )
        self._lengths = [0] * len(PROMPTS)

    def scores(self, parts: Sequence[Sequence[int]]) -> list[Scores]:
        """Returns the scores at the next tokens of each sequence, shape [tokens, vocabulary], from one step."""
        rows = [
            Row(int(token), self._lengths[seat] + at, seat, wants_scores=True)
            for seat, part in enumerate(parts)
            for at, token in enumerate(part)
        ]
        self._backend.forward(rows)
        found = np.array([self._backend._outputs.row(row) for row in range(len(rows))])
        self._lengths = [length + len(part) for length, part in zip(self._lengths, parts, strict=True)]
        ends = np.cumsum([len(part) for part in parts])[:-1]
        return np.split(found, ends)


def computed(path: Path, prompts: Sequence[Tokens]) -> tuple[list[Scores], list[list[int]]]:
    """Returns the scores at each token of the prompts, which are cut into chunks, and the tokens that follow them."""
    sequences = Sequences(path)
    scores: list[list[Scores]] = [[] for _ in prompts]
    for start in range(0, max(map(len, prompts)), CHUNK):
        parts = sequences.scores([prompt[start : start + CHUNK].tolist() for prompt in prompts])
        for kept, part in zip(scores, parts, strict=True):
            kept.append(part)
    whole = [np.concatenate(parts) for parts in scores]
    answers = [[int(one[-1].argmax())] for one in whole]
    for _ in range(GREEDY - 1):
        for answer, part in zip(answers, sequences.scores([answer[-1:] for answer in answers]), strict=True):
            answer.append(int(part[-1].argmax()))
    return whole, answers


@pytest.fixture(scope="module", params=CASES)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a case's model.gguf and answers.npz."""
    directory = tmp_path_factory.mktemp(request.param)
    make("program", request.param, directory)
    return directory


def test_scores_and_answers_are_transformers(made: Path) -> None:
    """At each token of two prompts side by side, and of the greedy answers to them."""
    said = np.load(made / "answers.npz")
    numbers = range(len(PROMPTS))
    scores, answers = computed(made / "model.gguf", [said[f"prompt{number}"] for number in numbers])
    for number in numbers:
        theirs = said[f"logits{number}"]
        assert theirs.shape[1] == VOCABULARY
        assert theirs.std() > 0.1
        assert cosines(scores[number][:, :VOCABULARY], theirs).min() > COSINE
        assert answers[number] == said[f"greedy{number}"].tolist()


def test_memory_is_estimated_as_llama_allocates_it(made: Path) -> None:
    """To 5 %: keys and values, and states."""
    path = made / "model.gguf"
    estimated = estimate([path], ContextChoice(512, 8192), slots=100)
    counted = (estimated.cache / 2**20, estimated.states / 2**20)
    assert counted == pytest.approx(allocated(path, 8192, 100), rel=0.05, abs=0.005)
