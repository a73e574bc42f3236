"""Scores and labels of converted cross-encoders, held against those of transformers, which the fixtures record."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import save_file

from llm_inference_api.models.convert.errors import ConversionError
from llm_inference_api.requests.classifying import Classify
from llm_inference_api.requests.engine_config import EngineConfig
from llm_inference_api.requests.inquiry import Input
from llm_inference_api.requests.ranking import Rank
from llm_inference_api.worker.parts import build
from tests.models.convert.seeded_checkpoint import FIXTURES, seeded_weights

Convert = Callable[..., Path]
CASES = sorted(path.stem for path in (FIXTURES / "rankers").iterdir())


def recorded(name: str) -> dict[str, Any]:
    return dict(json.loads((FIXTURES / "rankers" / f"{name}.json").read_text()))


def write_ranker(directory: Path, name: str, **config: object) -> Path:
    case = recorded(name)
    directory.mkdir()
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(FIXTURES / "embeddings" / name / "files" / file, directory)
    (directory / "config.json").write_text(json.dumps({**case["config"], **config}))
    save_file(seeded_weights(case["shapes"]), directory / "model.safetensors")
    return directory


@pytest.mark.parametrize("name", CASES)
def test_scores_are_those_of_transformers(name: str, tmp_path: Path, converted: Convert) -> None:
    """With the token ids of the checkpoint's own tokenizer; the head's first layer is a part of the model."""
    parts = build(EngineConfig(converted(write_ranker(tmp_path / name, name)), 1, 2, 10, 30.0), lambda fraction: None)
    assert parts.ranker is not None
    assert parts.embedder is None
    for pair in recorded(name)["pairs"]:
        assert parts.ranker.pair(pair["query"], pair["document"]).tokens == pair["ids"]
        rank = Rank(pair["query"], (Input("documents[0]", pair["document"]),))
        (found,) = parts.ranker.answer(rank, lambda: None)
        assert math.log(found.score / (1 - found.score)) == pytest.approx(pair["logit"], abs=5e-3)


@pytest.mark.parametrize("name", CASES)
def test_probabilities_of_labels_are_those_of_transformers(name: str, tmp_path: Path, converted: Convert) -> None:
    """A head with several outputs classifies, with the labels of the checkpoint."""
    classes = recorded(name)["classes"]
    labels = {str(index): label for index, label in enumerate(classes["labels"])}
    checkpoint = write_ranker(tmp_path / name, name, id2label=labels)
    save_file(seeded_weights(classes["shapes"]), checkpoint / "model.safetensors")
    parts = build(EngineConfig(converted(checkpoint), 1, 2, 10, 30.0), lambda fraction: None)
    assert (parts.ranker, parts.embedder) == (None, None)
    assert parts.classifier is not None
    assert parts.info.labels == tuple(classes["labels"])
    for wanted in classes["texts"]:
        found = parts.classifier.answer(Classify(Input("text", wanted["text"])), lambda: None)
        assert found.tokens == len(wanted["ids"])
        assert found.probabilities == pytest.approx(wanted["probabilities"], abs=1e-3)


def test_head_whose_labels_may_all_hold_is_refused_by_name(tmp_path: Path, converted: Convert) -> None:
    """Its outputs are no choice of one."""
    labels = {"0": "joy", "1": "anger"}
    checkpoint = write_ranker(tmp_path / "x", "bert", id2label=labels, problem_type="multi_label_classification")
    with pytest.raises(ConversionError, match="'problem_type' must be single_label_classification"):
        converted(checkpoint)
