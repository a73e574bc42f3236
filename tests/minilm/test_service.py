"""The service with a real model of embeddings, all-MiniLM-L6-v2, where its package is installed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest

from llm_inference_api.requests.bundled import BUNDLED
from tests.e2e.service import RunningService, run_service
from tests.minilm.texts import TEXTS

MODEL = "all-minilm-l6-v2"
REFERENCE = Path(__file__).with_name("reference.npz")
"""What sentence-transformers computes; written by tools/conversion_fixtures/minilm.py."""

pytestmark = pytest.mark.skipif(
    BUNDLED[MODEL].path() is None, reason=f"the package {BUNDLED[MODEL].distribution} is not installed"
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    directory = tmp_path_factory.mktemp("minilm")
    with run_service(
        directory, directory, LLM_ALLOWED_MODELS=MODEL, LLM_CACHE_PATH=str(directory / "cache")
    ) as running:
        yield running


@pytest.fixture
def http(service: RunningService) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=100) as client:
        yield client


def recorded() -> np.ndarray:
    """Returns the unit vectors of TEXTS, shape [texts, 384]."""
    return np.load(REFERENCE)["vectors"].astype(np.float32)


def recorded_ids() -> list[list[int]]:
    arrays = np.load(REFERENCE)
    ids = np.split(arrays["ids"], np.cumsum(arrays["lengths"].astype(int)))[:-1]
    return [text.tolist() for text in ids]


def embedded(http: httpx.Client, texts: list[str]) -> np.ndarray:
    answer = http.post("/v1/embeddings", json={"model": MODEL, "input": texts})
    assert answer.status_code == 200, answer.text
    return np.array([item["embedding"] for item in answer.json()["data"]], np.float32)


def test_vectors_are_those_of_sentence_transformers(http: httpx.Client) -> None:
    """Every text's, to a cosine of 0.9999."""
    assert len(TEXTS) >= 50
    assert (embedded(http, TEXTS) * recorded()).sum(1).min() >= 0.9999


def test_typed_endpoint_has_the_same_vectors(http: httpx.Client) -> None:
    """With the number of each text's tokens."""
    embeddings = http.post("/api/embed", json={"texts": TEXTS}).json()["embeddings"]
    values = np.array([item["values"] for item in embeddings], np.float32)
    assert (values * recorded()).sum(1).min() >= 0.9999
    assert [item["tokens"] for item in embeddings] == [len(ids) for ids in recorded_ids()]


def test_openais_client_reads_them(service: RunningService) -> None:
    """In base64, its default."""
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0) as client:
        found: Any = client.embeddings.create(model=MODEL, input=TEXTS[:3]).data
    assert (np.array([item.embedding for item in found], np.float32) * recorded()[:3]).sum(1).min() >= 0.9999


def test_token_ids_are_those_of_the_checkpoints_tokenizer(http: httpx.Client) -> None:
    """In every script; llama.cpp's own WordPiece differs in a tenth of them."""
    for text, ids in zip(TEXTS, recorded_ids(), strict=True):
        tokens = http.post("/api/tokenize", json={"text": text, "add_special": True}).json()["tokens"]
        assert [token["token_id"] for token in tokens] == ids, text


def test_nearest_text_is_the_one_that_says_the_same(http: httpx.Client) -> None:
    """What such a model is for."""
    questions = ["What is the capital of France?", "Where does the cat lie?", "How did shares do on the market?"]
    answers = ["Stock prices fell sharply on Tuesday.", "Paris is the capital of France.", "The cat sat on the mat."]
    similar = embedded(http, questions) @ embedded(http, answers).T
    assert similar.argmax(1).tolist() == [1, 2, 0]


def test_text_beyond_the_models_length_is_refused_with_the_limit(http: httpx.Client) -> None:
    """sentence-transformers would leave its end out without a word."""
    answer = http.post("/v1/embeddings", json={"model": MODEL, "input": ["short", "word " * 255]})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "input[1]"
    assert "has 257 tokens, and this model's maximum context length is 256 tokens" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/generate", {"prompt": "hello"}),
        ("/api/chat", {"messages": [{"role": "user", "content": "hello"}]}),
        ("/api/chat/stream", {"messages": [{"role": "user", "content": "hello"}]}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hello"}]}),
        ("/v1/completions", {"prompt": "hello"}),
    ],
)
def test_it_generates_nothing_and_says_so(http: httpx.Client, path: str, body: dict[str, Any]) -> None:
    """By its name, with the endpoints that serve it."""
    answer = http.post(path, json={"model": MODEL, **body})
    assert answer.status_code == 400
    assert f"'{MODEL}' computes embeddings only" in answer.text
