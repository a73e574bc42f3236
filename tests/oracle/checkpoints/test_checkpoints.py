"""Checkpoints made by transformers and converted by llama.cpp's own converter compute what transformers computes."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from llm_inference_api.backends.llama.backend import ContextSizes, LlamaBackend, Model
from llm_inference_api.engine.backend import Row
from llm_inference_api.requests.engine_config import GpuChoice
from tests.oracle.checkpoints.cases import CASES, GREEDY, PROMPTS, VOCABULARY
from tests.oracle.families.renderings import PYTHON
from tests.oracle.material import cached_material

pytestmark = [pytest.mark.oracle, pytest.mark.timeout(900)]

PROGRAM = Path(__file__).with_name("program.py")
COSINE = 0.9999
CHUNK = 7
"""Tokens of a prompt that are computed in one step; no multiple of what kernels and models take at once."""

Scores = npt.NDArray[np.float32]
Tokens = npt.NDArray[np.int64]


def make(case: str, directory: Path) -> None:
    """Has transformers make the case's checkpoint and answers, and upstream's converter the GGUF file."""
    if PYTHON not in os.environ and not all(map(importlib.util.find_spec, ("torch", "transformers"))):
        pytest.skip(f"torch and transformers are not installed; {PYTHON} can name a Python that has them")
    converter = cached_material("llama-convert")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    command = [os.environ.get(PYTHON, sys.executable), str(PROGRAM), case, str(directory), str(converter)]
    subprocess.run(command, env=environment, check=True)


class Sequences:
    """Sequences that are computed side by side, as requests are."""

    def __init__(self, path: Path) -> None:
        self._backend = LlamaBackend(
            Model(path, GpuChoice(layers=0), lambda _: None), ContextSizes(256, len(PROMPTS), 64, 1)
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


def cosines(ours: Scores, theirs: Scores) -> npt.NDArray[np.float64]:
    """Returns the cosine of the angle between the scores at each token."""
    one, other = ours.astype(np.float64), theirs.astype(np.float64)
    return (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)  # type: ignore[no-any-return]


@pytest.mark.parametrize("case", CASES)
def test_scores_and_answers_are_transformers(case: str, tmp_path: Path) -> None:
    """At each token of two prompts side by side, and of the greedy answers to them."""
    make(case, tmp_path)
    said = np.load(tmp_path / "answers.npz")
    numbers = range(len(PROMPTS))
    scores, answers = computed(tmp_path / "model.gguf", [said[f"prompt{number}"] for number in numbers])
    for number in numbers:
        theirs = said[f"logits{number}"]
        assert theirs.shape[1] == VOCABULARY
        assert theirs.std() > 0.1
        assert cosines(scores[number][:, :VOCABULARY], theirs).min() > COSINE
        assert answers[number] == said[f"greedy{number}"].tolist()
