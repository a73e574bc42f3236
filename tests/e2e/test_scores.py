"""Scores of given texts, through both wires."""

import math
from typing import Any

import grpc
import httpx
import pytest

from llm_inference.v1 import embeddings_pb2, scores_pb2, scores_pb2_grpc

BODY: dict[str, Any] = {"model": "tiny", "prompt": "hello", "continuations": ["a", "bc", "bd"]}


def logprobs(http: httpx.Client, **body: Any) -> list[float]:
    answer = http.post("/api/score", json={**BODY, **body}).raise_for_status().json()
    return [score["logprob"] for score in answer["scores"]]


def test_score_is_the_sum_of_its_tokens(http: httpx.Client) -> None:
    """Each continuation has the log probabilities of its tokens, in the order of the request."""
    scores = http.post("/api/score", json=BODY).json()["scores"]
    assert [[token["token"] for token in score["logprobs"]["tokens"]] for score in scores] == [
        ["a"],
        ["b", "c"],
        ["b", "d"],
    ]
    for score in scores:
        assert score["logprob"] == pytest.approx(sum(token["logprob"] for token in score["logprobs"]["tokens"]))


def test_scores_of_one_token_add_up(http: httpx.Client) -> None:
    """The most probable tokens, scored by their ids, have the probabilities that the list of them says."""
    answer = http.post("/api/score", json={**BODY, "continuations": ["a"], "top_logprobs": 20}).json()
    top = answer["scores"][0]["logprobs"]["tokens"][0]["top_logprobs"]
    lists = [{"token_ids": [token["token_id"]]} for token in top]
    found = logprobs(http, continuations=[], continuation_tokens=lists)
    assert found == pytest.approx([token["logprob"] for token in top], abs=1e-9)


def test_score_is_what_a_completion_echoes(http: httpx.Client) -> None:
    """`/v1/completions` reads the same log probabilities of the same tokens."""
    body = {"model": "tiny", "prompt": "hellobc", "echo": True, "logprobs": 0, "max_tokens": 0}
    choice = http.post("/v1/completions", json=body).raise_for_status().json()["choices"][0]
    assert choice["text"] == "hellobc"
    assert choice["logprobs"]["token_logprobs"][0] is None
    assert sum(choice["logprobs"]["token_logprobs"][-2:]) == pytest.approx(logprobs(http)[1], abs=1e-3)


def test_greedy_continuation_is_known(http: httpx.Client) -> None:
    """What the model would say itself is greedy, anything else is not."""
    body = {"model": "tiny", "prompt": "hello", "max_tokens": 1, "temperature": 0, "logprobs": True}
    said = http.post("/api/generate", json=body).json()["logprobs"]["tokens"][0]["token_id"]
    lists = [{"token_ids": [said]}, {"token_ids": [said + 1]}]
    scores = http.post("/api/score", json={**BODY, "continuations": [], "continuation_tokens": lists}).json()["scores"]
    assert [score["is_greedy"] for score in scores] == [True, False]


def test_prompt_is_counted_once(http: httpx.Client) -> None:
    """The usage has the tokens of the prompt once, and each distinct one of the continuations."""
    prompt = "one prompt for all"
    usage = http.post("/api/score", json={**BODY, "prompt": prompt}).json()["usage"]
    tokens = http.post("/api/tokenize", json={"model": "tiny", "text": prompt}).json()["tokens"]
    assert usage["prompt_tokens"] == len(tokens) + 4
    assert usage["completion_tokens"] == 0


def test_chat_is_continued_by_an_answer(http: httpx.Client) -> None:
    """Continuations of a chat stand where its answer does."""
    chat = [{"role": "user", "content": "hi"}]
    prompt = http.post("/api/chat/render", json={"model": "tiny", "messages": chat}).json()["tokens"]
    ids = {"token_ids": [token["token_id"] for token in prompt]}
    assert logprobs(http, prompt="", messages=chat) == logprobs(http, prompt="", prompt_tokens=ids)


def test_scores_come_over_grpc(channel: grpc.Channel) -> None:
    """The typed call takes token lists."""
    stub = scores_pb2_grpc.ScoreServiceStub(channel)
    request = scores_pb2.ScoreRequest(
        model="tiny",
        prompt_tokens=embeddings_pb2.TokenList(token_ids=[20, 21]),
        continuation_tokens=[embeddings_pb2.TokenList(token_ids=[22, 23])],
    )
    (score,) = stub.Score(request, timeout=60).scores
    assert [token.token_id for token in score.logprobs.tokens] == [22, 23]
    assert score.logprob < 0


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"prompt": ""}, "prompt"),
        ({"messages": [{"role": "user", "content": "x"}]}, "prompt"),
        ({"continuations": []}, "continuations"),
        ({"continuations": ["a", ""]}, "continuations"),
        ({"continuations": ["a"] * 1025}, "continuations"),
        ({"continuation_tokens": [{"token_ids": [1]}]}, "continuation_tokens"),
        ({"continuations": [], "continuation_tokens": [{"token_ids": [100_000]}]}, "continuation_tokens"),
        ({"continuations": ["x" * 5000]}, "continuations"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"prompt": "", "prompt_tokens": {"token_ids": []}}, "prompt_tokens"),
    ],
)
def test_what_cannot_be_scored_is_refused_by_field(http: httpx.Client, body: dict[str, Any], field: str) -> None:
    """Nothing is computed of such a request."""
    answer = http.post("/api/score", json={**BODY, **body})
    assert answer.status_code == 400, answer.text
    assert field in answer.text


def test_completion_of_no_tokens_says_nothing(http: httpx.Client) -> None:
    """`max_tokens` of 0 computes the prompt alone."""
    body = {"model": "tiny", "prompt": ["ab", "cde"], "max_tokens": 0}
    answer = http.post("/v1/completions", json=body).raise_for_status().json()
    assert [(choice["text"], choice["finish_reason"]) for choice in answer["choices"]] == [("", "length")] * 2
    assert answer["usage"]["completion_tokens"] == 0


def test_echo_comes_before_the_answer(http: httpx.Client) -> None:
    """The text and the log probabilities begin with those of the prompt, whole and streamed."""
    body = {"model": "tiny", "prompt": [20, 21, 22], "echo": True, "logprobs": 1, "max_tokens": 2, "ignore_eos": True}
    choice = http.post("/v1/completions", json=body).raise_for_status().json()["choices"][0]
    assert len(choice["logprobs"]["tokens"]) == 5
    assert choice["logprobs"]["top_logprobs"][0] is None
    assert all(math.isfinite(value) for value in choice["logprobs"]["token_logprobs"][1:])
    assert choice["text"].startswith(
        http.post("/api/detokenize", json={"model": "tiny", "token_ids": [20, 21, 22]}).json()["text"]
    )


def test_echo_is_not_for_infilling(http: httpx.Client) -> None:
    """An answer between two texts cannot begin with one of them."""
    answer = http.post("/v1/completions", json={"model": "tiny", "prompt": "a", "suffix": "b", "echo": True})
    assert answer.status_code == 400
    assert "echo" in answer.text
