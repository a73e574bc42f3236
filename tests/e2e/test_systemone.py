"""`/v1/systemone`, in the shape of TypeSafe's System One API."""

from typing import Any

import httpx
import pytest

NOUL: dict[str, Any] = {"type": "noul", "instructions": "Money back?", "criteria": {"true": "it asks for money"}}
CHOICE: dict[str, Any] = {"type": "choice", "criteria": {"billing": {"when": ["charges"]}, "shipping": None}}
SCORE: dict[str, Any] = {"type": "score", "instructions": "Mood?", "criteria": ["calm", {"mood": "angry"}]}
BODY: dict[str, Any] = {
    "model": "tiny",
    "state": {"subject": "charged twice"},
    "questions": {"refund": NOUL, "team": CHOICE, "mood": SCORE},
}


def post(http: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = http.post("/v1/systemone", json={**BODY, **body})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_answers_have_the_shapes_and_names_of_the_wire(http: httpx.Client) -> None:
    """Each kind has its fields; levels are numbered, and the legend has them as they were sent."""
    found = post(http)
    assert found.keys() == {"model", "answers", "usage"}
    assert found["usage"].keys() == {"input_tokens", "output_tokens"}
    noul, choice, score = (found["answers"][name] for name in ("refund", "team", "mood"))
    assert noul.keys() == {"type", "noul", "coverage"}
    assert choice.keys() == {"type", "choice", "confidence", "probabilities", "coverage"}
    assert score.keys() == {"type", "score", "confidence", "legend", "probabilities", "coverage"}
    assert choice["probabilities"].keys() == {"billing", "shipping"}
    assert score["legend"] == {"0": "calm", "1": {"mood": "angry"}}
    assert score["score"] == pytest.approx(score["probabilities"]["1"])


def test_numbers_are_those_of_decide(http: httpx.Client) -> None:
    """Both wires compute the same."""
    native = {"instructions": "Money back?", "predicate": {"yes": "it asks for money"}}
    found = http.post("/api/decide", json={"model": "tiny", "text": "state", "questions": [native]}).json()
    answer = post(http, state="state", questions={"refund": NOUL})["answers"]["refund"]
    assert answer["noul"] == found["decisions"][0]["predicate"]["probability"]
    assert answer["coverage"] == found["decisions"][0]["coverage"]


def test_one_option_has_all(http: httpx.Client) -> None:
    """The wire allows a single option; how far the model would say it is the coverage."""
    answer = post(http, questions={"team": {"type": "choice", "criteria": {"billing": None}}})["answers"]["team"]
    assert (answer["choice"], answer["confidence"], answer["probabilities"]) == ("billing", 1.0, {"billing": 1.0})
    assert answer["coverage"] < 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"state": ""}, "state"),
        ({"state": 5}, "state"),
        ({"questions": {}}, "questions"),
        ({"questions": {"a": {"type": "box", "instructions": "x"}}}, "questions.a.type"),
        ({"questions": {"a": {"type": "noul"}}}, "questions.a.instructions"),
        ({"questions": {"a": {**NOUL, "criteria": {"yes": "x"}}}}, "questions.a.criteria"),
        ({"questions": {"a": {**CHOICE, "criteria": ["x"]}}}, "questions.a.criteria"),
        ({"questions": {"a": {**CHOICE, "criteria": {}}}}, "questions.a.criteria"),
        ({"questions": {"a": {**CHOICE, "criteria": {"x": 1}}}}, "questions.a.criteria.x"),
        ({"questions": {"a": {**SCORE, "criteria": {"0": "x"}}}}, "questions.a.criteria"),
        ({"questions": {"a": {**SCORE, "criteria": "x"}}}, "questions.a.criteria"),
        ({"assets": {"x": {"format": "png"}}}, "assets"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_field(http: httpx.Client, body: dict[str, Any], field: str) -> None:
    """OpenAI's error object, whose message TypeSafe's clients show, names the field."""
    answer = http.post("/v1/systemone", json={**BODY, **body})
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == field, answer.text
