"""`/v1/decisions`, in the shapes of OpenAI's clients from 3.57 on."""

from typing import Any

import httpx
import pytest

PREDICATE: dict[str, Any] = {"type": "predicate", "name": "refund", "instructions": "Money back?"}
CHOICE: dict[str, Any] = {
    "type": "choice",
    "instructions": [{"type": "input_text", "text": "Urgent?"}],
    "choices": [{"value": True}, {"value": False}, {"value": "unclear", "description": "it does not say"}],
}
SCORE: dict[str, Any] = {"type": "score", "instructions": "Mood?", "levels": [{"label": "calm"}, {"label": "angry"}]}
BODY: dict[str, Any] = {"model": "tiny", "input": "state", "questions": [PREDICATE, CHOICE, SCORE]}
CALLS: list[dict[str, Any]] = [
    {"type": "message", "role": "developer", "content": "be brief"},
    {"role": "user", "content": [{"type": "input_json", "data": {"city": "Bern"}}]},
    {"type": "function_call", "call_id": "a1", "name": "weather", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "a1", "output": [{"type": "input_text", "text": "rain"}]},
]


def post(http: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = http.post("/v1/decisions", json={**BODY, **body})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_answers_have_the_shapes_of_the_wire(http: httpx.Client) -> None:
    """Each kind has its fields and no other; unnamed questions have the name null."""
    predicate, choice, score = post(http)["answers"]
    assert predicate.keys() == {"type", "name", "probability", "coverage"}
    assert choice.keys() == {"type", "name", "choice", "confidence", "probabilities", "coverage"}
    assert score.keys() == {"type", "name", "score", "confidence", "probabilities", "coverage"}
    assert (predicate["name"], choice["name"]) == ("refund", None)
    assert [one["value"] for one in score["probabilities"]] == [0, 1]
    assert [one["label"] for one in score["probabilities"]] == ["calm", "angry"]


def test_values_keep_their_type(http: httpx.Client) -> None:
    """A boolean comes back as one."""
    choice = post(http, questions=[CHOICE])["answers"][0]
    assert [one["value"] for one in choice["probabilities"]] == [True, False, "unclear"]
    assert choice["choice"] in {True, False, "unclear"}


def test_numbers_are_those_of_decide(http: httpx.Client) -> None:
    """Both wires compute the same."""
    native = {"name": "refund", "instructions": "Money back?", "predicate": {}}
    found = http.post("/api/decide", json={"model": "tiny", "text": "state", "questions": [native]}).json()
    assert (
        post(http, questions=[PREDICATE])["answers"][0]["probability"]
        == (found["decisions"][0]["predicate"]["probability"])
    )


def test_usage_says_what_was_cached(http: httpx.Client) -> None:
    """A state that was computed before is read from the cache."""
    post(http, input="a state of some length" * 4)
    usage = post(http, input="a state of some length" * 4)["usage"]
    assert usage["input_tokens_details"]["cached_tokens"] > 0
    assert usage["output_tokens"] == 0
    assert usage["total_tokens"] == usage["input_tokens"]


def test_input_may_have_calls_of_tools(http: httpx.Client) -> None:
    """Messages, calls and their results are the state."""
    assert len(post(http, input=CALLS)["answers"]) == 3


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"questions": []}, "questions"),
        ({"input": []}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, "input[0].content"),
        ({"input": [{"role": "user"}]}, "input[0]"),
        ({"input": CALLS[:3]}, "input"),
        ({"questions": [{**CHOICE, "choices": [{"value": "a"}]}]}, "questions[0].choices"),
        ({"questions": [{**CHOICE, "choices": [{"value": True}, {"value": "true"}]}]}, "questions[0].choices[1]"),
        ({"questions": [{**SCORE, "choices": CHOICE["choices"]}]}, "questions[0].choices"),
        ({"questions": [{**SCORE, "instructions": [{"type": {}}]}]}, "questions[0].instructions"),
        ({"questions": [{"type": "rank", "instructions": "x"}]}, "questions[0].type"),
        ({"temperature": 1}, "temperature"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_field(http: httpx.Client, body: dict[str, Any], field: str) -> None:
    """OpenAI's error object names the field."""
    answer = http.post("/v1/decisions", json={**BODY, **body})
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == field, answer.text
