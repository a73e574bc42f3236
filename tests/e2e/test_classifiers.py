"""Choices answered by the labels of an encoder's head, through all wires of decisions."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.service import RunningService, run_service
from tests.fakes.gguf import write_tiny_encoder

LABELS = ("joy", "anger", "neither")
TEXT = "the cat sat"
MOOD: dict[str, Any] = {"instructions": "Mood?", "choice": {"options": [{"value": label} for label in LABELS]}}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service with a model that classifies."""
    directory = tmp_path_factory.mktemp("classifiers")
    write_tiny_encoder(directory / "moods.gguf", pooling=None, head=True, labels=LABELS)
    with run_service(directory, directory, LLM_ALLOWED_MODELS="moods=moods.gguf", LLM_PRELOAD_MODELS="") as running:
        yield running


@pytest.fixture
def http(service: RunningService) -> Iterator[httpx.Client]:
    with service.http() as client:
        yield client


def probabilities(http: httpx.Client, question: dict[str, Any]) -> tuple[dict[str, float], float]:
    """Returns the probabilities by label, and the coverage."""
    answer = http.post("/api/decide", json={"text": TEXT, "questions": [question]})
    assert answer.status_code == 200, answer.text
    (decision,) = answer.json()["decisions"]
    return {one["value"]: one["probability"] for one in decision["choice"]["probabilities"]}, decision["coverage"]


def test_first_request_loads_the_model_and_is_answered(http: httpx.Client) -> None:
    """That it has labels is known once it is loaded; the list says which."""
    found, coverage = probabilities(http, MOOD)
    assert sum(found.values()) == pytest.approx(1)
    assert coverage == pytest.approx(1)
    assert http.get("/api/llms/moods").json()["model"]["info"]["labels"] == list(LABELS)


def test_part_of_the_labels_has_its_share(http: httpx.Client) -> None:
    """Coverage is what the head gives to them."""
    every, _ = probabilities(http, MOOD)
    some, coverage = probabilities(http, {**MOOD, "choice": {"options": [{"value": "joy"}, {"value": "anger"}]}})
    assert coverage == pytest.approx(every["joy"] + every["anger"])
    assert some["joy"] == pytest.approx(every["joy"] / coverage)


def test_clients_of_other_apis_get_the_same(http: httpx.Client) -> None:
    """OpenAI's and TypeSafe's."""
    every, _ = probabilities(http, MOOD)
    question = {"type": "choice", "instructions": "Mood?", "choices": [{"value": label} for label in LABELS]}
    openai = http.post("/v1/decisions", json={"input": TEXT, "questions": [question]}).json()
    assert {one["value"]: one["probability"] for one in openai["answers"][0]["probabilities"]} == every
    criteria = dict.fromkeys(LABELS)
    systemone = http.post(
        "/v1/systemone", json={"state": TEXT, "questions": {"mood": {"type": "choice", "criteria": criteria}}}
    ).json()
    assert systemone["answers"]["mood"]["probabilities"] == every


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/api/decide", {"text": TEXT, "questions": [{"instructions": "x", "predicate": {}}]}, "must be a choice"),
        ("/api/decide", {"text": "a " * 100, "questions": [MOOD]}, "maximum context length"),
        (
            "/api/decide",
            {"messages": [{"role": "assistant", "content": "x"}], "questions": [MOOD]},
            "one text of a user",
        ),
        ("/api/chat", {"messages": [{"role": "user", "content": "x"}]}, "classifies texts only"),
        ("/api/rank", {"query": "x", "documents": ["y"]}, "cannot rank"),
    ],
)
def test_what_the_head_cannot_do_is_refused(http: httpx.Client, path: str, body: dict[str, Any], words: str) -> None:
    """With what it does."""
    answer = http.post(path, json=body)
    assert answer.status_code == 400
    assert words in answer.text


def test_classified_texts_are_counted(service: RunningService, http: httpx.Client) -> None:
    """By model."""
    before = service.metric("classifications_total", model="moods")
    probabilities(http, MOOD)
    assert service.metric("classifications_total", model="moods") == before + 1
