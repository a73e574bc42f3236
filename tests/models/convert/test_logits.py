"""Logits of converted checkpoints compared with those of transformers, which the fixtures record."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_inference_api.models.convert.tensors.element_type import Dtype
from tests.models.convert.llama_file import opened
from tests.models.convert.seeded_checkpoint import FIXTURES, write_checkpoint

CASES = sorted(path.name for path in (FIXTURES / "logits").iterdir())
BOUNDS = {Dtype.FLOAT32: (0.9999, 0.99), Dtype.FLOAT16: (0.9998, 0.95)}
"""Least cosine of the logits at any position, and least share of positions with the same best token."""


@dataclass
class Reference:
    """A recorded case, as tools/conversion_fixtures/logits.py writes it."""

    case: dict[str, Any]
    tokens: list[int]
    logits: np.ndarray
    best: np.ndarray

    @classmethod
    def read(cls, name: str) -> "Reference":
        directory = FIXTURES / "logits" / name
        arrays = np.load(directory / "reference.npz")
        case = json.loads((directory / "case.json").read_text())
        return cls(case, arrays["tokens"].tolist(), arrays["logits"].astype(np.float32), arrays["best"])


def cosines(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Returns the cosine of each pair of rows."""
    return (left * right).sum(1) / (np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1))


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("name", CASES)
def test_logits_agree_with_transformers(
    name: str, dtype: Dtype, tmp_path: Path, converted: Callable[..., Path]
) -> None:
    """A tiny model of each family and feature computes the logits that transformers does."""
    reference = Reference.read(name)
    case = reference.case
    checkpoint = write_checkpoint(tmp_path / name, case["config"], case["shapes"], case["tokenizer"])

    with opened(converted(checkpoint, dtype)) as llama:
        logits = llama.logits(reference.tokens, context=case["context"])

    least_cosine, least_agreement = BOUNDS[dtype]
    assert cosines(logits, reference.logits).min() >= least_cosine
    assert np.mean(logits.argmax(1) == reference.best) >= least_agreement
