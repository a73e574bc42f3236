"""Typed questions, through both wires."""

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import httpx
import pytest

from llm_inference.v1 import decisions_pb2, decisions_pb2_grpc, inference_pb2

TEAM: dict[str, Any] = {
    "name": "team",
    "instructions": "Which?",
    "choice": {"options": [{"value": "billing"}, {"value": "ship", "description": "parcels"}, {"value": "shipping"}]},
}
LEVEL: dict[str, Any] = {
    "name": "level",
    "instructions": "How?",
    "score": {"levels": [{"value": "low"}, {"value": "middle"}, {"value": "high"}]},
}
REFUND: dict[str, Any] = {"name": "refund", "instructions": "Money back?", "predicate": {}}
BODY: dict[str, Any] = {"model": "tiny", "text": "state", "questions": [REFUND, TEAM, LEVEL]}


def decide(http: httpx.Client, **body: Any) -> list[dict[str, Any]]:
    answer = http.post("/api/decide", json={**BODY, **body})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["decisions"])


def test_each_kind_has_its_answer(http: httpx.Client) -> None:
    """Answers have the names and the order of the questions, and probabilities that add up."""
    refund, team, level = decide(http)
    assert [refund["name"], team["name"], level["name"]] == ["refund", "team", "level"]
    assert 0 <= refund["predicate"]["probability"] <= 1
    assert sum(one["probability"] for one in team["choice"]["probabilities"]) == pytest.approx(1)
    levels = level["score"]["probabilities"]
    assert level["score"]["score"] == pytest.approx(sum(at * one["probability"] for at, one in enumerate(levels)))
    assert all(0 <= one["coverage"] <= 1 for one in (refund, team, level))


def test_question_does_not_know_of_others(http: httpx.Client) -> None:
    """A question asked alone has the answer that it has among others."""
    assert decide(http, questions=[TEAM]) == decide(http)[1:2]


@pytest.mark.parametrize("model", ["tiny", "steady.gguf"])
def test_order_of_options_makes_no_difference(http: httpx.Client, model: str) -> None:
    """Permuted options have the same probabilities to the last digit, also beside other requests."""
    options, shuffled = TEAM["choice"]["options"], random.Random(1)

    def probabilities(_: int) -> dict[str, float]:
        permuted = {**TEAM, "choice": {"options": shuffled.sample(options, len(options))}}
        (decision,) = decide(http, model=model, questions=[permuted])
        return {one["value"]: one["probability"] for one in decision["choice"]["probabilities"]}

    alone = probabilities(0)
    with ThreadPoolExecutor(4) as pool:
        assert all(found == alone for found in pool.map(probabilities, range(24)))


def test_rotations_can_be_switched_off(http: httpx.Client) -> None:
    """One rotation costs fewer tokens than two."""
    usages = [
        http.post("/api/decide", json={**BODY, "rotations": rotations}).json()["usage"]["prompt_tokens"]
        for rotations in (1, 2)
    ]
    assert usages[0] < usages[1]


def test_state_may_end_with_a_tools_result(channel: grpc.Channel) -> None:
    """The typed call takes a chat; the question follows it."""
    stub = decisions_pb2_grpc.DecisionServiceStub(channel)
    chat = [
        inference_pb2.ChatMessage(role="user", content="hi"),
        inference_pb2.ChatMessage(role="assistant", content="yo"),
    ]
    question = decisions_pb2.Question(instructions="Polite?", predicate=decisions_pb2.Predicate(yes="it is"))
    answer = stub.Decide(decisions_pb2.DecideRequest(model="tiny", messages=chat, questions=[question]), timeout=60)
    assert answer.decisions[0].WhichOneof("answer") == "predicate"


def test_model_without_a_template_decides(http: httpx.Client) -> None:
    """Its chats are lines, as for `/api/chat`."""
    assert len(decide(http, model="plain.gguf")) == 3


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"text": ""}, "text"),
        ({"messages": [{"role": "user", "content": "x"}]}, "text"),
        ({"questions": []}, "questions"),
        ({"questions": [{**REFUND, "name": ""}] * 401}, "questions"),
        ({"questions": [{"instructions": "x"}]}, "questions[0]"),
        ({"questions": [{**REFUND, "instructions": ""}]}, "questions[0].instructions"),
        ({"questions": [REFUND, REFUND]}, "questions[1].name"),
        (
            {"questions": [{"instructions": "x", "choice": {"options": []}}]},
            "questions[0].choice.options",
        ),
        (
            {"questions": [{"instructions": "x", "score": {"levels": [{"value": "a"}] * 2}}]},
            "questions[0].score.levels[1]",
        ),
        ({"questions": [{**REFUND, "instructions": "x" * 5000}]}, "questions[0]"),
        ({"rotations": 0}, "rotations"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_field(http: httpx.Client, body: dict[str, Any], field: str) -> None:
    """Nothing is computed of such a request."""
    answer = http.post("/api/decide", json={**BODY, **body})
    assert answer.status_code == 400, answer.text
    assert field in answer.text
