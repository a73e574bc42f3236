"""Relevance through both wires."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from llm_inference.v1 import ranking_pb2, ranking_pb2_grpc
from tests.e2e.service import RunningService, run_service
from tests.fakes.gguf import write_tiny_encoder, write_tiny_model

QUERY = "the cat sat"
DOCUMENTS = ["a dog ran", "the cat sat on the mat", "a"]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service with a model that ranks, and one that does not."""
    directory = tmp_path_factory.mktemp("ranking")
    write_tiny_encoder(directory / "ranker.gguf", pooling=None, head=True)
    write_tiny_model(directory / "tiny.gguf")
    variables = {"LLM_ALLOWED_MODELS": "ranker=ranker.gguf,tiny=tiny.gguf", "LLM_PRELOAD_MODELS": "ranker,tiny"}
    with run_service(directory, directory, **variables) as running:
        yield running


@pytest.fixture(scope="module")
def ranking(service: RunningService) -> Iterator[ranking_pb2_grpc.RankingServiceStub]:
    """A stub of the typed API."""
    with grpc.insecure_channel(service.address) as channel:
        yield ranking_pb2_grpc.RankingServiceStub(channel)


def rerank(service: RunningService, **fields: Any) -> Any:
    with service.http() as http:
        return http.post("/v1/rerank", json={"model": "ranker", "query": QUERY, "documents": DOCUMENTS, **fields})


def test_documents_come_by_their_relevance(service: RunningService) -> None:
    """The shape is that of Jina and Cohere, with the usage of all documents."""
    answer = rerank(service).json()
    assert (answer["object"], answer["model"], answer["id"][:7]) == ("list", "ranker", "rerank-")
    found = [item["relevance_score"] for item in answer["results"]]
    assert found == sorted(found, reverse=True)
    assert sorted(item["index"] for item in answer["results"]) == [0, 1, 2]
    assert all(set(item) == {"index", "relevance_score"} for item in answer["results"])
    assert answer["usage"] == {"prompt_tokens": 28, "total_tokens": 28}


def test_fewer_documents_are_the_best_ones(service: RunningService) -> None:
    """With their texts on demand; documents may be objects, as Jina's clients send them."""
    whole = rerank(service).json()["results"]
    objects = [{"text": text} for text in DOCUMENTS]
    best = rerank(service, documents=objects, top_n=1, return_documents=True).json()["results"]
    assert best == [{**whole[0], "document": {"text": DOCUMENTS[whole[0]["index"]]}}]
    assert len(rerank(service, top_n=9).json()["results"]) == 3


def test_typed_apis_say_the_same(service: RunningService, ranking: ranking_pb2_grpc.RankingServiceStub) -> None:
    """Over gRPC and as `POST /api/rank`."""
    whole = rerank(service).json()["results"]
    typed = ranking.Rank(ranking_pb2.RankRequest(model="ranker", query=QUERY, documents=DOCUMENTS))
    assert [(item.index, item.relevance_score) for item in typed.results] == [
        (item["index"], item["relevance_score"]) for item in whole
    ]
    assert typed.usage.prompt_tokens == sum(item.tokens for item in typed.results) == 28
    with service.http() as http:
        body = {"model": "ranker", "query": QUERY, "documents": DOCUMENTS, "top_n": 1, "return_documents": True}
        over_rest = http.post("/api/rank", json=body).json()
        assert http.get("/api/llms/ranker").json()["model"]["info"]["ranks"] is True
    (first,) = over_rest["results"]
    assert (first["index"], first["document"]) == (whole[0]["index"], DOCUMENTS[whole[0]["index"]])


@pytest.mark.parametrize(
    ("fields", "param", "says"),
    [
        ({"query": ""}, "query", "is empty"),
        ({"documents": []}, "documents", "1 to 1000 items, not 0"),
        ({"documents": ["a", ""]}, "documents[1]", "is empty"),
        ({"documents": ["a"] * 1001}, "documents", "1001 items; at most 1000"),
        ({"documents": ["a", 1]}, "documents[1]", ""),
        ({"documents": ["a " * 100]}, "documents[0]", "has 106 tokens with the query"),
        ({"top_n": 0}, "top_n", "at least 1, not 0"),
        ({"made_up": 1}, "made_up", "leave it out"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(
    service: RunningService, fields: dict[str, Any], param: str, says: str
) -> None:
    """A bad parameter is 400 in OpenAI's envelope, with its name."""
    answer = rerank(service, **fields)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, param)
    assert says in error["message"]


def test_model_that_cannot_rank_is_refused_by_name(service: RunningService) -> None:
    """And one that ranks alone neither generates nor embeds."""
    answer = rerank(service, model="tiny")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "ranking_unsupported")
    assert "model 'tiny' cannot rank" in answer.json()["error"]["message"]
    with service.http() as http:
        text = http.post("/v1/completions", json={"model": "ranker", "prompt": "a"})
        vector = http.post("/v1/embeddings", json={"model": "ranker", "input": "a"})
    assert "ranks texts only (POST /v1/rerank, /api/rank)" in text.json()["error"]["message"]
    assert vector.json()["error"]["code"] == "embeddings_unsupported"


def test_method_other_than_post_is_refused(service: RunningService) -> None:
    """As on all paths that take a body."""
    with service.http() as http:
        assert [http.get(path).status_code for path in ("/v1/rerank", "/api/rank")] == [405, 405]


def test_rankings_are_counted(service: RunningService) -> None:
    """By model, with their tokens."""
    names = ("llm_inference_rankings_total", "llm_inference_ranking_tokens_total")

    def counted() -> list[float]:
        with service.http() as http:
            lines = http.get("/metrics").text.splitlines()
        starts = tuple(f'{name}{{model="ranker"}} ' for name in names)
        return [float(line.rpartition(" ")[2]) for line in lines if line.startswith(starts)]

    rerank(service)
    before = counted()
    rerank(service)
    assert [now - then for now, then in zip(counted(), before, strict=True)] == [1, 28]
