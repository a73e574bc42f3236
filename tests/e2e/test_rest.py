"""The REST surface, through Envoy."""

import time

import httpx
import pytest

from tests.e2e.service import RunningService
from tests.e2e.sse import read, stream, text_of

PROMPT = {"model": "tiny", "prompt": "hello", "max_tokens": 12, "seed": 7, "temperature": 0, "ignore_eos": True}
CHAT = {
    "model": "tiny",
    "messages": [{"role": "user", "content": "hello"}],
    "max_tokens": 12,
    "seed": 7,
    "temperature": 0,
    "ignore_eos": True,
}


def test_generate_answers_with_text_and_usage(http: httpx.Client) -> None:
    """POST /api/generate returns the flat shape that REST callers know."""
    answer = http.post("/api/generate", json=PROMPT).json()
    assert set(answer) == {"id", "created", "model", "text", "finish_reason", "usage", "seed", "max_tokens"}
    assert answer["model"] == "tiny"
    assert answer["finish_reason"] == "LENGTH"
    assert answer["seed"] == 7
    assert abs(answer["created"] - time.time()) < 60
    usage = answer["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (5, 12, 17)


def test_chat_answers_with_a_message(http: httpx.Client) -> None:
    """POST /api/chat returns the assistant's message."""
    answer = http.post("/api/chat", json=CHAT).json()
    assert set(answer) == {"id", "created", "model", "message", "finish_reason", "usage", "seed", "max_tokens"}
    assert answer["message"]["role"] == "assistant"


@pytest.mark.parametrize(("path", "body"), [("/api/generate", PROMPT), ("/api/chat", CHAT)])
def test_stream_is_events_of_deltas_that_add_up_to_the_whole(
    http: httpx.Client, path: str, body: dict[str, object]
) -> None:
    """The stream's deltas are the unary text; the first event names the answer, only the last has reason and usage."""
    whole = http.post(path, json=body).json()
    with stream(http, f"{path}/stream", body) as (response, events):
        assert response.headers["content-type"] == "text/event-stream"
        assert response.headers["cache-control"] == "no-cache"
        found = [event for event in events if "progress" not in event]
    assert text_of(found) == (whole.get("text") or whole["message"]["content"])
    assert found[0]["model"] == "tiny"
    assert found[0]["seed"] == 7
    assert all(not {"id", "model", "finish_reason", "usage"} & event.keys() for event in found[1:-1])
    assert found[-1]["finish_reason"] == whole["finish_reason"]
    assert found[-1]["usage"]["completion_tokens"] == 12


def test_same_seed_reproduces_and_is_said_when_chosen(http: httpx.Client) -> None:
    """An answer names the seed that was chosen for it, and that seed gives the same text again."""
    body = {**PROMPT, "model": "steady.gguf", "temperature": 1.5}
    first = http.post("/api/generate", json={**body, "seed": None}).json()
    again, other = (http.post("/api/generate", json={**body, "seed": first["seed"] + more}).json() for more in (0, 1))
    assert first["text"] == again["text"] != other["text"]


def test_logprobs_have_an_entry_for_each_token(http: httpx.Client) -> None:
    """Log probabilities come for every generated token, streamed or not."""
    body = {**PROMPT, "logprobs": True, "top_logprobs": 3}
    whole = http.post("/api/generate", json=body).json()
    entries = whole["logprobs"]["tokens"]
    assert len(entries) == whole["usage"]["completion_tokens"]
    assert all(len(entry["top_logprobs"]) == 3 for entry in entries)
    streamed = read(http, "/api/generate/stream", body)
    tokens = [entry["token_id"] for event in streamed for entry in event.get("logprobs", {}).get("tokens", [])]
    assert tokens == [entry["token_id"] for entry in entries]


def test_model_may_be_left_out_only_when_there_is_one(http: httpx.Client) -> None:
    """With several models a request must say which."""
    answer = http.post("/api/generate", json={"prompt": "x"})
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("model: is missing")


def test_models_are_listed_with_their_states(http: httpx.Client) -> None:
    """GET /api/llms shows every allowed model, and what an active one is."""
    models = {model["id"]: model for model in http.get("/api/llms").json()["models"]}
    assert models["tiny"]["state"] == "ACTIVE"
    assert models["tiny"]["info"]["context_length"] == 2048
    assert models["missing.gguf"]["reference"] == "missing.gguf"


def test_list_of_models_has_the_defaults_of_requests(http: httpx.Client) -> None:
    """Those that are settings; without a seed, each request has a random one."""
    defaults = http.get("/api/llms").json()["defaults"]
    assert defaults == {"temperature": 0.7, "top_p": 0.9, "max_tokens": 512, "max_tokens_limit": 4096}


def test_one_model_can_be_asked_for(http: httpx.Client) -> None:
    """GET /api/llms/{id} returns one model; escaped ids are ids too."""
    assert http.get("/api/llms/plain.gguf").json()["model"]["id"] == "plain.gguf"
    assert http.get("/api/llms/plain%2Egguf").json()["model"]["id"] == "plain.gguf"
    assert http.get("/api/llms/none").status_code == 404


def test_model_is_loaded_watched_and_unloaded(http: httpx.Client) -> None:
    """A model's life can be steered and followed over REST."""
    http.post("/api/llms/plain.gguf:unload")  # A test before this one may have loaded it.
    with http.stream("GET", "/api/llms/plain.gguf:watch") as response:
        assert response.headers["content-type"] == "text/event-stream"
        loaded = http.post("/api/llms/plain.gguf:load").json()["model"]
        unloaded = http.post("/api/llms/plain.gguf:unload").json()["model"]
        seen = []
        for line in response.iter_lines():
            state = line.partition('"state":"')[2].partition('"')[0]
            if state and (not seen or seen[-1] != state):
                seen.append(state)
            if seen[-1:] == ["UNLOADED"] and len(seen) > 1:
                break
    assert (loaded["state"], unloaded["state"]) == ("ACTIVE", "UNLOADED")
    assert [state for state in seen if state != "FAILED"][-4:] == ["LOADING", "ACTIVE", "UNLOADING", "UNLOADED"]


def test_health_is_200_without_a_body(http: httpx.Client) -> None:
    """Probes over HTTP get 200 while the service lives and takes requests."""
    assert http.get("/health/live").status_code == 200
    assert http.get("/health/ready").status_code == 200


def test_metrics_are_prometheus_text(http: httpx.Client) -> None:
    """GET /metrics is what Prometheus scrapes."""
    answer = http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "# TYPE llm_inference_requests_running gauge" in answer.text


def test_cors_preflight_is_answered(http: httpx.Client) -> None:
    """A page of any origin may call, by default."""
    headers = {"origin": "https://page.example", "access-control-request-method": "POST"}
    answer = http.options("/api/chat", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://page.example"


def test_request_id_is_kept(http: httpx.Client, service: RunningService) -> None:
    """The caller's request id comes back and stands in the log."""
    answer = http.post("/api/generate", json=PROMPT, headers={"x-request-id": "my-request-7"})
    assert answer.headers["x-request-id"] == "my-request-7"
    assert '"request_id": "my-request-7"' in service.log()


def test_prompts_are_not_logged(http: httpx.Client, service: RunningService) -> None:
    """What callers say does not reach the log."""
    http.post("/api/generate", json={**PROMPT, "prompt": "a very secret prompt"})
    assert "secret" not in service.log()
