"""Answers to typed questions compared with those of transformers (tools/conversion_fixtures/decisions.py)."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from llm_inference_api.decisions.answer import Decision
from llm_inference_api.decisions.deciding import Decisions
from llm_inference_api.decisions.question import Kind, Option, Question, yes_or_no
from llm_inference_api.models.convert.conversion import convert_checkpoint
from llm_inference_api.models.convert.tensors.element_type import Dtype
from llm_inference_api.requests.chat import Message
from llm_inference_api.requests.engine_config import ContextChoice, EngineConfig
from llm_inference_api.worker.parts import build
from llm_inference_api.worker.score_preparer import ScorePreparer
from tests.models.convert.seeded_checkpoint import FIXTURES, write_checkpoint

RECORD: dict[str, Any] = json.loads((FIXTURES / "decisions.json").read_text())


def question(index: int, wire: dict[str, Any]) -> Question:
    kind = next(kind for kind in Kind if kind.value in wire)
    given = wire[kind.value]
    if kind is Kind.PREDICATE:
        options = yes_or_no(given.get("yes", ""), given.get("no", ""))
    else:
        options = tuple(Option(one["value"], one.get("description", "")) for one in next(iter(given.values())))
    return Question(f"questions[{index}]", kind, wire["instructions"], options, "options")


@pytest.fixture(scope="module")
def decide(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[Decision]]:
    """Answers all questions of the record in F32, with a cache whose keys and values have two types or one."""
    directory = tmp_path_factory.mktemp("decisions")
    checkpoint = write_checkpoint(directory / "model", RECORD["config"], RECORD["shapes"], RECORD["tokenizer"])
    (checkpoint / "tokenizer_config.json").write_text(json.dumps({"chat_template": RECORD["template"]}))
    file = directory / "model.gguf"
    convert_checkpoint(checkpoint, file, dtype=Dtype.FLOAT32, progress=lambda done, total: None)

    def answers(*, reproducible: bool) -> list[Decision]:
        context = ContextChoice(length=1024, cache_tokens=4096)
        config = EngineConfig(file, 1, 8, 8, 1e6, context=context, reproducible=reproducible)
        parts = build(config, lambda fraction: None)
        assert parts.engine is not None
        questions = [question(*pair) for pair in enumerate(RECORD["questions"])]
        asked = Decisions.checked([Message("user", RECORD["state"])], questions, RECORD["rotations"], "", "text")
        parts.engine.submit(ScorePreparer(parts.preparer).prepare(asked.request)[0])
        deltas = []
        while parts.engine.busy:
            deltas += parts.engine.step().deltas
        (scores,) = (delta.scores for delta in deltas if delta.scores)
        return asked.answers(scores)

    return answers


@pytest.mark.parametrize("reproducible", [True, False])
def test_probabilities_agree_with_transformers(decide: Callable[..., list[Decision]], *, reproducible: bool) -> None:
    """Of all kinds, of options of several tokens, and of one that begins another; the cache rounds, to BF16 or F16."""
    for found, wanted in zip(decide(reproducible=reproducible), RECORD["questions"], strict=True):
        assert found.probabilities == pytest.approx(wanted["probabilities"], abs=1e-4)
        assert found.coverage == pytest.approx(wanted["coverage"], abs=1e-4)
        assert found.probabilities == pytest.approx(wanted["probabilities"], rel=0.05, abs=0)
        assert found.coverage == pytest.approx(wanted["coverage"], rel=0.05, abs=0)
