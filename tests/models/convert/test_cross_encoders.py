"""Scores of converted cross-encoders, held against those of transformers, which the fixtures record."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import save_file

from llm_inference_api.models.convert.errors import ConversionError
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


def test_head_of_several_labels_is_refused_by_name(tmp_path: Path, converted: Convert) -> None:
    """It classifies; so does one that says nothing, by transformers' default."""
    for number, labels in enumerate(({"0": "joy", "1": "anger"}, None)):
        checkpoint = write_ranker(tmp_path / str(number), "bert", id2label=labels)
        with pytest.raises(ConversionError, match="'id2label' must be one label"):
            converted(checkpoint)
