"""Anthropic's Messages API through Envoy."""

import json
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest

from llm_inference.v1 import inference_pb2
from tests.e2e.service import RunningService, inference

ASK: dict[str, Any] = {
    "model": "tiny",
    "max_tokens": 8,
    "temperature": 0,
    "messages": [{"role": "user", "content": "hello"}],
}
TOOL = {
    "name": "weather",
    "description": "Says it",
    "input_schema": {"type": "object", "properties": {"city": {"enum": ["Rome", "Oslo"]}}, "required": ["city"]},
}


@pytest.fixture
def http(service: RunningService) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=60) as client:
        yield client


def events(http: httpx.Client, **fields: Any) -> list[dict[str, Any]]:
    with http.stream("POST", "/v1/messages", json={**ASK, "stream": True, **fields}) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        lines = [line for line in answer.iter_lines() if line.startswith("data: ")]
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def test_answer_is_that_of_the_typed_api(service: RunningService, http: httpx.Client) -> None:
    """The same model, prompt and sampling."""
    answer = http.post("/v1/messages", json=ASK).json()
    request = inference_pb2.ChatRequest(
        model="tiny", messages=[inference_pb2.ChatMessage(role="user", content="hello")], max_tokens=8, temperature=0
    )
    with grpc.insecure_channel(service.address) as channel:
        typed = inference(channel).Chat(request)
    assert answer["content"] == [{"type": "text", "text": typed.message.content, "citations": None}]
    assert answer["usage"]["output_tokens"] == typed.usage.completion_tokens


def test_stream_adds_up_to_the_whole(http: httpx.Client) -> None:
    """Text, reason and usage."""
    whole, found = http.post("/v1/messages", json=ASK).json(), events(http)
    deltas = [event["delta"] for event in found if event["type"] == "content_block_delta"]
    assert "".join(delta["text"] for delta in deltas) == whole["content"][0]["text"]
    assert found[0]["type"] == "message_start"
    assert found[0]["message"]["usage"]["input_tokens"] > 0
    (ending,) = (event for event in found if event["type"] == "message_delta")
    assert ending["delta"]["stop_reason"] == whole["stop_reason"]
    assert ending["usage"]["output_tokens"] == whole["usage"]["output_tokens"]
    assert found[-1] == {"type": "message_stop"}


def test_stop_sequence_is_named(http: httpx.Client) -> None:
    """The one that ended the answer."""
    text = http.post("/v1/messages", json=ASK).json()["content"][0]["text"]
    stop = text[2:4]
    answer = http.post("/v1/messages", json={**ASK, "stop_sequences": ["never said", stop]}).json()
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("stop_sequence", stop)
    assert answer["content"][0]["text"] == text[: text.index(stop)]


def test_tool_is_called(http: httpx.Client) -> None:
    """With arguments by its schema, and its result goes into the next turn."""
    choice = {"type": "tool", "name": "weather"}
    answer = http.post("/v1/messages", json={**ASK, "max_tokens": 400, "tools": [TOOL], "tool_choice": choice}).json()
    (call,) = (block for block in answer["content"] if block["type"] == "tool_use")
    assert answer["stop_reason"] == "tool_use"
    assert (call["name"], call["input"]["city"] in ("Rome", "Oslo")) == ("weather", True)
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": "sunny"}
    turns = [{"role": "assistant", "content": answer["content"]}, {"role": "user", "content": [result]}]
    second = http.post("/v1/messages", json={**ASK, "tools": [TOOL], "messages": [*ASK["messages"], *turns]})
    assert second.status_code == 200, second.text


def test_tokens_are_counted_as_they_are_computed(http: httpx.Client) -> None:
    """Those of the prompt."""
    counted = http.post("/v1/messages/count_tokens", json={"model": "tiny", "messages": ASK["messages"]}).json()
    usage = http.post("/v1/messages", json=ASK).json()["usage"]
    assert counted == {"input_tokens": usage["input_tokens"] + usage["cache_read_input_tokens"]}


@pytest.mark.parametrize(
    ("fields", "status", "kind", "words"),
    [
        ({"max_tokens": 0}, 400, "invalid_request_error", "max_tokens: must be at least 1"),
        ({"model": "none"}, 404, "not_found_error", "GET /v1/models"),
        ({"container": "x"}, 400, "invalid_request_error", "container: the service runs no code"),
        ({"messages": [{"role": "user", "content": "x" * 9_000_000}]}, 413, "request_too_large", ""),
    ],
)
def test_refusal_is_anthropics_error(
    http: httpx.Client, fields: dict[str, Any], status: int, kind: str, words: str
) -> None:
    """With the id by which it stands in the log."""
    answer = http.post("/v1/messages", json={**ASK, **fields})
    found = answer.json()
    assert (answer.status_code, found["type"], found["error"]["type"]) == (status, "error", kind)
    assert words in found["error"]["message"]
    assert found["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
def test_clients_of_betas_are_answered(http: httpx.Client, path: str) -> None:
    """They say so in the query. Other parameters are no more known than before."""
    asked = {name: ASK[name] for name in ("model", "messages")} if path.endswith("tokens") else ASK
    assert http.post(f"{path}?beta=true", json=asked).json().keys() == http.post(path, json=asked).json().keys()
    refused = http.post(f"{path}?betas=true", json=asked)
    assert (refused.status_code, refused.json()["error"]["type"]) == (400, "invalid_request_error")


def test_client_is_told_to_do_without_a_thread(http: httpx.Client) -> None:
    """The code by which Anthropic's clients know that they have to send all messages themselves."""
    refused = http.post("/v1/messages?beta=true", json={**ASK, "thread": {"type": "create"}})
    assert (refused.status_code, refused.json()["error"]["details"]) == (
        400,
        {"error_code": "thread_unsupported_request"},
    )
    assert "x-error-code" not in refused.headers
    other = http.post("/v1/messages", json={**ASK, "max_tokens": 0}).json()["error"]
    assert (other["type"], other["details"]) == ("invalid_request_error", {"error_code": None})


def test_request_has_an_id_that_clients_look_for(http: httpx.Client) -> None:
    """As Anthropic names it."""
    answer = http.post("/v1/messages", json=ASK)
    assert answer.headers["request-id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "", 405), ("POST", "/none", 404)])
def test_other_paths_and_methods_are_refused_alike(http: httpx.Client, method: str, path: str, status: int) -> None:
    """Envoy says so in the same format."""
    answer = http.request(method, f"/v1/messages{path}", json=ASK if method == "POST" else None)
    assert (answer.status_code, answer.json()["type"]) == (status, "error")
