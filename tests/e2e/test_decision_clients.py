"""Clients for typed questions, unmodified: openai, LiteLLM and TypeSafe's SDK, with a model of random weights."""

import os
from typing import Any

import pytest

from tests.e2e.service import RunningService

pytestmark = [pytest.mark.clients, pytest.mark.filterwarnings("ignore")]  # Their warnings are not ours.

STATE = "I was charged twice."
TEAMS = ["billing", "shipping"]
LEVELS = ["calm", "angry"]
OPENAI: list[dict[str, Any]] = [
    {"type": "predicate", "name": "refund", "instructions": "Money back?"},
    {"type": "choice", "name": "team", "instructions": "Which?", "choices": [{"value": team} for team in TEAMS]},
    {"type": "score", "name": "mood", "instructions": "Mood?", "levels": [{"label": level} for level in LEVELS]},
]
SYSTEM_ONE: dict[str, Any] = {
    "refund": {"type": "noul", "instructions": "Money back?"},
    "team": {"type": "choice", "instructions": "Which?", "criteria": dict.fromkeys(TEAMS)},
    "mood": {"type": "score", "instructions": "Mood?", "criteria": LEVELS},
}


def check_openai(answers: Any) -> None:
    refund, team, mood = answers
    assert 0 <= refund.probability <= 1
    assert team.choice in TEAMS
    assert sum(one.probability for one in team.probabilities) == pytest.approx(1)
    assert [one.label for one in mood.probabilities] == LEVELS
    assert mood.score == pytest.approx(mood.probabilities[1].probability)


def check_system_one(answers: Any) -> None:
    assert 0 <= answers["refund"].noul <= 1
    assert answers["team"].choice in TEAMS
    assert sum(answers["team"].probabilities.values()) == pytest.approx(1)
    assert list(answers["mood"].legend.values()) == LEVELS


def test_openai_decides(service: RunningService) -> None:
    """`client.decisions.create` of openai 3.57 on; coverage is beside what it knows."""
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0)
    if not hasattr(client, "decisions"):
        pytest.skip("openai is older than 3.57")
    decision = client.decisions.create(model="tiny", input=STATE, questions=OPENAI)
    check_openai(decision.answers)
    assert 0 <= decision.answers[0].coverage <= 1
    with pytest.raises(openai.BadRequestError, match=r"questions\[0\]\.instructions"):
        client.decisions.create(model="tiny", input=STATE, questions=[{**OPENAI[0], "instructions": ""}])


@pytest.fixture
def litellm() -> Any:
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # It would ask the network for prices while it is imported.
    module = pytest.importorskip("litellm")
    if not hasattr(module, "systemone"):
        pytest.skip("litellm is older than 1.110")
    return module


def test_litellm_decides_by_openais_wire(service: RunningService, litellm: Any) -> None:
    """Its provider `openai` asks `/v1/decisions`."""
    found = litellm.decisions(
        model="openai/tiny", input=STATE, questions=OPENAI, api_base=f"{service.url}/v1", api_key="none"
    )
    check_openai(found.answers)


def test_litellm_decides_by_system_ones_wire(service: RunningService, litellm: Any) -> None:
    """Its provider `typesafe` asks `/v1/systemone`."""
    found = litellm.systemone(
        model="typesafe/tiny", state=STATE, questions=SYSTEM_ONE, api_base=f"{service.url}/v1", api_key="none"
    )
    check_system_one(found.answers)
    assert found.usage.input_tokens > 0


def test_typesafes_sdk_decides(service: RunningService) -> None:
    """`system_one` of the SDK whose API the wire has."""
    sdk = pytest.importorskip("typesafe_sdk")
    with sdk.TypeSafeClient(base_url=service.url, api_key="none") as client:
        questions = {"team": sdk.Choice(instructions="Which?", criteria=dict.fromkeys(TEAMS))}
        check_system_one(client.system_one(STATE * 100, {**SYSTEM_ONE, **questions}, model="tiny").answers)
        with pytest.raises(sdk.TypeSafeBadRequestError, match=r"questions\.mood\.criteria"):
            client.system_one(STATE, {"mood": sdk.Score(criteria=[""] * 300)}, model="tiny")
