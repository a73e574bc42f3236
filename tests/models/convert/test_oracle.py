"""The recorded fixtures compared with the programs that made them, where these are installed."""

from pathlib import Path

import numpy as np
import pytest

from tests.models.convert.seeded_checkpoint import FIXTURES

pytestmark = pytest.mark.oracle


def test_recorded_logits_are_those_of_transformers(tmp_path: Path) -> None:
    """transformers computes every recorded logit again."""
    pytest.importorskip("transformers")
    from tools.conversion_fixtures import logits  # noqa: PLC0415 - imports torch

    logits.generate(tmp_path)

    for directory in sorted((FIXTURES / "logits").iterdir()):
        recorded = np.load(directory / "reference.npz")["logits"].astype(np.float32)
        computed = np.load(tmp_path / directory.name / "reference.npz")["logits"].astype(np.float32)
        assert np.abs(recorded - computed).max() < 0.02, directory.name


def test_recorded_ids_are_those_of_the_tokenizers(tmp_path: Path) -> None:
    """Trained again, the tokenizers give every recorded id."""
    pytest.importorskip("sentencepiece")
    pytest.importorskip("tiktoken")
    from tools.conversion_fixtures import tokens  # noqa: PLC0415 - imports sentencepiece

    tokens.generate(tmp_path)

    for directory in sorted((FIXTURES / "tokenizers").iterdir()):
        recorded = np.load(directory / "reference.npz")
        computed = np.load(tmp_path / directory.name / "reference.npz")
        assert all(np.array_equal(recorded[key], computed[key]) for key in recorded.files), directory.name


def test_recorded_vectors_are_those_of_sentence_transformers(tmp_path: Path) -> None:
    """sentence-transformers gives every recorded id, and computes every recorded vector again."""
    pytest.importorskip("sentence_transformers")
    from tools.conversion_fixtures import embeddings  # noqa: PLC0415 - imports torch

    embeddings.generate(tmp_path, FIXTURES / "embeddings")

    for directory in sorted((FIXTURES / "embeddings").iterdir()):
        recorded = np.load(directory / "reference.npz")
        computed = np.load(tmp_path / directory.name / "reference.npz")
        assert np.abs(recorded["vectors"] - computed["vectors"]).max() < 0.002, directory.name
        assert all(np.array_equal(recorded[key], computed[key]) for key in ("texts", "lengths", "ids")), directory.name
