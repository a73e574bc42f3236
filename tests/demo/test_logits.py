"""The shipped file computes what the trained network computed, up to the rounding of Q8_0."""

from pathlib import Path

import numpy as np
import pytest

from llm_inference_api.demo import MODEL_PATH
from tests.fakes.llama import Llama, load_oracle

REFERENCE = Path(__file__).parent / "logits.npz"
LARGEST, MEAN = 0.5, 0.1


@pytest.fixture(scope="module")
def model() -> Llama:
    return load_oracle(MODEL_PATH, n_ctx=512, n_threads=1, logits_all=True)


def test_tokens_equal_the_trained_tokenizer(model: Llama) -> None:
    reference = np.load(REFERENCE)
    text = str(reference["text"])
    assert model.tokenize(text.encode(), add_bos=False, special=True) == reference["tokens"].tolist()


def test_logits_agree_with_torch(model: Llama) -> None:
    reference = np.load(REFERENCE)
    tokens, expected = reference["tokens"].tolist(), reference["logits"].astype(np.float32)
    model.eval(tokens)
    difference = np.abs(model.scores[: len(tokens)] - expected)
    assert difference.max() < LARGEST
    assert difference.mean() < MEAN


def test_best_tokens_agree_with_torch_where_an_answer_is_due(model: Llama) -> None:
    reference = np.load(REFERENCE)
    model.eval(reference["tokens"].tolist())
    assert model.scores[len(reference["tokens"]) - 1].argmax() == reference["logits"][-1].argmax()


def test_file_is_small() -> None:
    assert MODEL_PATH.stat().st_size <= 6_000_000
