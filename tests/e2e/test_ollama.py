"""Ollama's API through Envoy, on the port that has it."""

import json
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest

from llm_inference.v1 import inference_pb2
from tests.e2e.secured import wait_until
from tests.e2e.service import RunningService, inference

ASK: dict[str, Any] = {
    "model": "tiny:latest",
    "messages": [{"role": "user", "content": "hello"}],
    "options": {"temperature": 0, "num_predict": 8},
}
LINES = "application/x-ndjson"


@pytest.fixture
def http(service: RunningService) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.ollama_url, timeout=60) as client:
        yield client


def lines(http: httpx.Client, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    answer = http.post(path, json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (200, LINES)
    return [json.loads(line) for line in answer.text.splitlines()]


def test_answer_is_that_of_the_typed_api(service: RunningService, http: httpx.Client) -> None:
    """The same model, prompt and sampling; on the other port the same path is another API's."""
    answer = http.post("/api/chat", json={**ASK, "stream": False}).json()
    request = inference_pb2.ChatRequest(
        model="tiny", messages=[inference_pb2.ChatMessage(role="user", content="hello")], max_tokens=8, temperature=0
    )
    with grpc.insecure_channel(service.address) as channel:
        typed = inference(channel).Chat(request)
    assert (answer["model"], answer["message"]["content"]) == ("tiny:latest", typed.message.content)
    assert answer["eval_count"] == typed.usage.completion_tokens
    other = httpx.post(f"{service.url}/api/chat", json=ASK, timeout=20)
    assert (other.status_code, "LLM_OLLAMA_PORT" in other.text) == (400, True)


def test_answer_is_streamed_unless_it_is_asked_for_whole(http: httpx.Client) -> None:
    """In lines, of which the last one has the counts; a prompt's answer is a chat's."""
    whole = http.post("/api/chat", json={**ASK, "stream": False}).json()
    *parts, last = lines(http, "/api/chat", ASK)
    assert "".join(part["message"]["content"] for part in parts) == whole["message"]["content"]
    assert [part["done"] for part in (*parts, last)] == [False] * len(parts) + [True]
    counts = ("done_reason", "prompt_eval_count", "eval_count")
    assert [last[name] for name in counts] == [whole[name] for name in counts]
    assert last["total_duration"] >= last["eval_duration"] > 0
    generated = lines(http, "/api/generate", {"model": "tiny", "prompt": "hello", "options": ASK["options"]})
    assert "".join(part["response"] for part in generated) == whole["message"]["content"]


def test_model_is_loaded_and_unloaded_by_requests_that_ask_nothing(http: httpx.Client) -> None:
    """As their clients do it; the list of what is in memory has it meanwhile."""

    def loaded() -> list[str]:
        return [model["name"] for model in http.get("/api/ps").json()["models"]]

    asked = {"model": "plain.gguf", "prompt": ""}
    assert http.post("/api/generate", json={**asked, "keep_alive": 0}).json()["done_reason"] == "unload"
    assert "plain.gguf:latest" not in loaded()
    assert http.post("/api/generate", json=asked).json()["done_reason"] == "load"
    assert "plain.gguf:latest" in loaded()
    answered = {**asked, "prompt": "a", "raw": True, "keep_alive": 0, "options": {"num_predict": 1}}
    assert lines(http, "/api/generate", answered)[-1]["done"]
    assert "plain.gguf:latest" not in loaded()
    assert http.post("/api/chat", json={"model": "plain.gguf", "keep_alive": "0s"}).json()["done_reason"] == "unload"


def test_clients_find_the_service_and_its_models(http: httpx.Client) -> None:
    """By the words at `/`, which some ask for by HEAD; the names are those that requests may use."""
    assert (http.get("/").text, http.head("/").status_code) == ("Ollama is running", 200)
    assert http.get("/api/version").json()["version"]
    names = [model["model"] for model in http.get("/api/tags").json()["models"]]
    assert "tiny:latest" in names
    shown = http.post("/api/show", json={"model": "tiny:latest"}).json()
    assert (shown["details"]["family"], shown["capabilities"][0]) == ("llama", "completion")
    assert "messages" in shown["template"]


def test_context_is_no_larger_than_the_models(http: httpx.Client) -> None:
    """A client that counts on more would be answered with less than it asks for."""
    fits, exceeds = (http.post("/api/chat", json={**ASK, "options": {"num_ctx": size}}) for size in (64, 1 << 20))
    assert (fits.status_code, exceeds.status_code) == (200, 400)
    assert exceeds.json()["error"].startswith("options.num_ctx: must be from 1 to ")


@pytest.mark.parametrize(
    ("request_line", "body", "status", "words"),
    [
        ("POST /api/chat", {**ASK, "model": "none"}, 404, "model 'none' is not served here"),
        ("POST /api/chat", {**ASK, "options": {"top_p": 3}}, 400, "options.top_p: must be a number from 0 to 1"),
        ("POST /api/embed", {"model": "none", "input": "a"}, 404, "not served"),
        ("POST /api/pull", {"model": "llama3.2"}, 404, "not served"),
        ("POST /api/create", {"model": "x", "from": "tiny"}, 400, "LLM_ALLOWED_MODELS"),
        ("DELETE /api/delete", {"model": "tiny"}, 400, "LLM_ALLOWED_MODELS"),
        ("GET /api/chat", None, 405, "use POST"),
        ("POST /api/tags", {}, 405, "use GET"),
        ("GET /api/llms", None, 404, ""),
        ("POST /api/chat", {"messages": [{"role": "user", "content": "x" * (5 << 20)}]}, 413, ""),
    ],
)
def test_refusal_is_ollamas_error(
    http: httpx.Client, request_line: str, body: dict[str, Any] | None, status: int, words: str
) -> None:
    """One sentence, whether the service refuses or Envoy."""
    answer = http.request(*request_line.split(), json=body)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])
    assert words in answer.json()["error"]


def test_other_apis_below_v1_are_on_the_port_too(http: httpx.Client) -> None:
    """With their own errors."""
    asked = {"model": "tiny", "max_tokens": 3, "messages": ASK["messages"]}
    assert http.post("/v1/chat/completions", json=asked).json()["object"] == "chat.completion"
    assert http.post("/v1/messages", json=asked).json()["type"] == "message"
    assert http.get("/v1/models/none").json()["error"]["code"] == "model_not_found"
    assert http.get("/v1/none").json()["error"]["type"] == "invalid_request_error"


def test_what_envoy_refuses_is_logged_and_counted(service: RunningService, http: httpx.Client) -> None:
    """With its path, on both ports; the service itself never sees it."""
    assert httpx.delete(f"{service.url}/api/chat", timeout=20).status_code == 405
    assert http.get("/no/such/path-of-ollama?secret=1").status_code == 404
    wait_until(lambda: "/no/such/path-of-ollama" in service.log())  # Envoy writes lines in their order.
    refused = [json.loads(line) for line in service.log().splitlines() if "refused by Envoy" in line]
    assert {("DELETE", "/api/chat"), ("GET", "/no/such/path-of-ollama")} <= {
        (x.get("method"), x.get("path")) for x in refused
    }
    assert "secret" not in str(refused)
    for status in (404, 405):
        counted = service.metric("envoy_refusals_total", status=str(status))
        assert counted == sum(line["status"] == status for line in refused), refused
