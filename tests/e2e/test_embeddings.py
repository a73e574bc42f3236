"""Embeddings through both wires, and with OpenAI's own client."""

import base64
import time
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import numpy as np
import openai
import pytest

from llm_inference.v1 import embeddings_pb2, embeddings_pb2_grpc, inference_pb2
from tests.e2e.service import RunningService, inference, run_service
from tests.fakes.gguf import write_tiny_encoder, write_tiny_model

TEXTS = ["the cat sat", "a dog", "the cat sat"]
MODELS = ["tiny", "encoder"]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service with a model that generates, one that embeds only, and one whose embeddings take a while."""
    directory = tmp_path_factory.mktemp("embeddings")
    write_tiny_model(directory / "tiny.gguf")
    write_tiny_encoder(directory / "encoder.gguf")
    write_tiny_model(directory / "slow.gguf", layers=8, width=512)
    variables = {
        "LLM_ALLOWED_MODELS": "tiny=tiny.gguf,encoder=encoder.gguf,slow=slow.gguf",
        "LLM_PRELOAD_MODELS": "tiny,slow",
        "LLM_MAX_CONCURRENT_REQUESTS": "2",
        "LLM_MAX_QUEUED_REQUESTS": "0",
    }
    with run_service(directory, directory, **variables) as running:
        yield running


@pytest.fixture
def client(service: RunningService) -> Iterator[openai.OpenAI]:
    """OpenAI's client, which does not retry."""
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client


def vectors(answer: Any) -> np.ndarray:
    return np.array([item.embedding for item in answer.data], np.float32)


@pytest.mark.parametrize("model", MODELS)
def test_openais_client_gets_vectors(client: openai.OpenAI, model: str) -> None:
    """One for each text, of length one, in order, equal for equal texts; base64 is the client's default."""
    answer = client.embeddings.create(model=model, input=TEXTS)
    found = vectors(answer)
    assert (answer.object, answer.model, [item.index for item in answer.data]) == ("list", model, [0, 1, 2])
    assert np.allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-6)
    assert np.array_equal(found[0], found[2])
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 0
    assert np.array_equal(vectors(client.embeddings.create(model=model, input=TEXTS[1]))[0], found[1])


def test_base64_is_float(client: openai.OpenAI) -> None:
    """Both encodings carry the same numbers; the client's own decoding is the witness."""
    as_float = client.embeddings.create(model="tiny", input=TEXTS, encoding_format="float")
    assert np.array_equal(vectors(as_float), vectors(client.embeddings.create(model="tiny", input=TEXTS)))
    raw: Any = client.embeddings.create(model="tiny", input=TEXTS, encoding_format="base64").data[0].embedding
    assert np.array_equal(np.frombuffer(base64.b64decode(raw), "<f4"), vectors(as_float)[0])


def test_token_ids_are_texts_too(client: openai.OpenAI, service: RunningService) -> None:
    """A list of ids is one input, a list of lists are several."""
    with service.http() as http:
        tokens = http.post("/api/tokenize", json={"model": "encoder", "text": TEXTS[0]}).json()["tokens"]
    ids = [token["token_id"] for token in tokens]
    text = vectors(client.embeddings.create(model="encoder", input=TEXTS[0]))
    assert np.array_equal(vectors(client.embeddings.create(model="encoder", input=ids)), text)
    assert np.array_equal(vectors(client.embeddings.create(model="encoder", input=[ids, ids]))[1], text[0])


def test_default_of_rest_is_float(service: RunningService) -> None:
    """Who names no encoding gets numbers."""
    with service.http() as http:
        answer = http.post("/v1/embeddings", json={"model": "tiny", "input": "a"}).json()
        assert len(answer["data"][0]["embedding"]) == 64
        assert http.get("/api/llms/encoder").json()["model"]["info"]["generates"] is False


@pytest.mark.parametrize(
    ("fields", "param", "says"),
    [
        ({"input": "x", "dimensions": 63}, "dimensions", "must be 64: this model is not known"),
        ({"input": "x", "dimensions": 65}, "dimensions", "must be 1 to 64 for this model, not 65"),
        ({"input": "x", "dimensions": 0}, "dimensions", "must be at least 1, not 0"),
        ({"input": "x", "pooling": "none"}, "pooling", "one vector for each text"),
        ({"input": "x", "encoding_format": "int8"}, "encoding_format", "float"),
        ({"input": "x", "made_up": 1}, "made_up", "leave it out"),
        ({"input": ""}, "input", "empty"),
        ({"input": []}, "input", "1 to 128"),
        ({"input": ["x", ""]}, "input[1]", "empty"),
        ({"input": ["x"] * 129}, "input", "1 to 128 items, not 129"),
        ({"input": ["x", [1]]}, "input", "each kind"),
        ({"input": {"a": 1}}, "input", "must be a text"),
        ({"input": [1.5]}, "input", "must be a text"),
        ({"input": [True]}, "input", "must be a text"),
        ({"input": [[]]}, "input[0]", "empty"),
        ({"input": [-1]}, "input", "vocabulary of 261"),
        ({"input": [2**40]}, "input", "vocabulary of 261"),
        (
            {"input": ["x", "y" * 2049]},
            "input[1]",
            "2049 tokens, and this model's maximum context length is 2048",
        ),
        ({"input": "x" * (2**20 + 1)}, "input", "bytes"),
        ({}, "input", "missing"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(
    service: RunningService, fields: dict[str, Any], param: str, says: str
) -> None:
    """A bad parameter is 400 in OpenAI's envelope, with its name."""
    with service.http() as http:
        answer = http.post("/v1/embeddings", json={"model": "tiny", **fields})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert says in error["message"]


def test_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    """As everywhere."""
    with pytest.raises(openai.NotFoundError) as found:
        client.embeddings.create(model="other", input="x")
    assert found.value.code == "model_not_found"


def test_model_without_generation_says_so(client: openai.OpenAI, service: RunningService) -> None:
    """An encoder refuses prompts and chats on every way, before a stream begins."""
    said: Any = [{"role": "user", "content": "hello"}]
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError, match="embeddings only") as found:
            client.chat.completions.create(model="encoder", messages=said, stream=stream)
        assert found.value.code == "generation_unsupported"
    with service.http() as http:
        assert http.post("/api/generate/stream", json={"model": "encoder", "prompt": "x"}).status_code == 400
    with grpc.insecure_channel(service.address) as channel, pytest.raises(grpc.RpcError) as refused:
        inference(channel).Generate(inference_pb2.GenerateRequest(model="encoder", prompt="x"), timeout=20)
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION


def test_both_wires_have_the_same(service: RunningService) -> None:
    """REST and gRPC say what OpenAI's endpoint says, with each text's tokens."""
    with service.http() as http, grpc.insecure_channel(service.address) as channel:
        stub = embeddings_pb2_grpc.EmbeddingServiceStub(channel)
        message = stub.Embed(embeddings_pb2.EmbedRequest(model="tiny", texts=TEXTS), timeout=20)
        answer = http.post("/api/embed", json={"model": "tiny", "texts": TEXTS}).json()
        openais = http.post("/v1/embeddings", json={"model": "tiny", "input": TEXTS}).json()
        lists = [{"token_ids": list(b"abc")}]
        assert len(http.post("/api/embed", json={"model": "tiny", "token_lists": lists}).json()["embeddings"]) == 1
    values = np.array([list(item.values) for item in message.embeddings], np.float32)
    assert np.array_equal(values, np.array([item["embedding"] for item in openais["data"]], np.float32))
    assert np.allclose(values, np.array([item["values"] for item in answer["embeddings"]]), atol=1e-7)
    assert [item["tokens"] for item in answer["embeddings"]] == [len(text) for text in TEXTS]
    assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"] == sum(map(len, TEXTS))


@pytest.mark.parametrize(
    "body",
    [
        {"texts": []},
        {"texts": ["x"], "token_lists": [{"token_ids": [1]}]},
        {"token_lists": [{"token_ids": [999]}]},
        {"token_lists": [{"token_ids": []}]},
        {"texts": ["x" * 3000]},
    ],
)
def test_typed_errors_name_the_field(service: RunningService, body: dict[str, Any]) -> None:
    """The typed API has its own names."""
    with service.http() as http:
        answer = http.post("/api/embed", json={"model": "tiny", **body})
    assert answer.status_code == 400
    assert answer.json()["message"].startswith(("texts", "token_lists"))


def test_texts_are_counted(service: RunningService) -> None:
    """The metrics have the tokens."""
    before = service.metric("embedding_tokens_total", model="tiny")
    with service.http() as http:
        http.post("/api/embed", json={"model": "tiny", "texts": ["hello"]})
    assert service.metric("embedding_tokens_total", model="tiny") - before == 5


def test_most_that_may_be_asked_comes_back(service: RunningService) -> None:
    """128 vectors pass Envoy."""
    with service.http() as http:
        answer = http.post("/api/embed", json={"model": "slow", "texts": ["x"] * 128})
        assert len(answer.json()["embeddings"]) == 128
        openais = http.post("/v1/embeddings", json={"model": "slow", "input": ["x"] * 128})
        assert len(openais.json()["data"]) == 128


def test_generation_goes_on_beside_embeddings(service: RunningService) -> None:
    """Chats are answered while a long list of texts is embedded."""
    request = embeddings_pb2.EmbedRequest(model="slow", texts=["x" * 2000] * 100)
    with service.http() as http, grpc.insecure_channel(service.address) as channel:
        embedding = embeddings_pb2_grpc.EmbeddingServiceStub(channel).Embed.future(request)
        service.wait_for_metric("rpcs_in_flight", 1)
        answer = http.post("/api/generate", json={"model": "slow", "prompt": "x", "max_tokens": 4, "ignore_eos": True})
        assert answer.status_code == 200
        assert not embedding.done()
        embedding.cancel()


def test_caller_that_leaves_frees_the_way(service: RunningService) -> None:
    """Those who left cost nothing: more than fit one after the other are given up, then one is answered soon."""
    body = {"model": "slow", "texts": ["x" * 2000] * 100}
    with service.http() as http:
        for _ in range(4):
            with pytest.raises(httpx.ReadTimeout):
                http.post("/api/embed", json=body, timeout=0.3)
        started = time.monotonic()
        deadline = started + 10
        while (answer := http.post("/api/embed", json={"model": "slow", "texts": ["x"]})).status_code == 429:
            assert time.monotonic() < deadline
        assert answer.status_code == 200
        assert time.monotonic() - started < 10


def test_too_many_at_once_are_refused(service: RunningService) -> None:
    """Beyond the running and waiting requests that a model may have, callers get 429 and a time to come back."""
    request = embeddings_pb2.EmbedRequest(model="slow", texts=["x" * 2000] * 100)
    with service.http() as http, grpc.insecure_channel(service.address) as channel:
        stub = embeddings_pb2_grpc.EmbeddingServiceStub(channel)
        accepted = [stub.Embed.future(request) for _ in range(2)]
        service.wait_for_metric("rpcs_in_flight", 2)
        refused = http.post("/api/embed", json={"model": "slow", "texts": ["x"]})
        assert refused.status_code == 429
        assert "retry-after" in refused.headers
        for call in accepted:
            assert not call.done()
            call.cancel()


def test_deadline_ends_the_wait(service: RunningService) -> None:
    """A caller hears in time."""
    request = embeddings_pb2.EmbedRequest(model="slow", texts=["x" * 2000] * 100)
    with grpc.insecure_channel(service.address) as channel:
        stub = embeddings_pb2_grpc.EmbeddingServiceStub(channel)
        with pytest.raises(grpc.RpcError) as found:
            stub.Embed(request, timeout=0.5)
    assert found.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
