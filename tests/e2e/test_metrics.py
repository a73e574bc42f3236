"""What Prometheus reads, compared with what callers have counted."""

import json
import socket
import subprocess
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx

from llm_inference.v1 import inference_pb2
from tests.e2e.service import COMMAND, RunningService, clean_environment, inference, run_service
from tests.e2e.sse import read
from tests.fakes.ports import free_port

MODEL = {"model": "tiny"}
ANSWER = {**MODEL, "max_tokens": 3, "ignore_eos": True}
SAYING = {"messages": [{"role": "user", "content": "hello"}]}
TOO_LONG = {**ANSWER, "prompt": "x" * 5000}


@dataclass
class Counted:
    """What callers saw."""

    rpcs: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By method and code."""
    answers: int = 0
    prompts: int = 0
    """Requests to the worker, of which one that wants two answers is two."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    embedding_tokens: int = 0

    def answer(self, method: str, usage: dict[str, int], count: int = 1) -> None:
        """Notes an answer; the usage says the prompt's tokens once, however many answers were computed."""
        self.rpcs[method, "OK"] += 1
        self.answers += 1
        self.prompts += count
        self.prompt_tokens += count * usage["prompt_tokens"]
        self.completion_tokens += usage["completion_tokens"]


class Callers:
    """The ways to call, each of which returns what is to be noted; called from several threads."""

    def __init__(self, service: RunningService, http: httpx.Client, channel: grpc.Channel) -> None:
        self._service = service
        self._http = http
        self._stub = inference(channel)

    def chat(self, counted: Counted) -> None:
        answer = self._http.post("/api/chat", json={**ANSWER, **SAYING}).json()
        counted.answer("InferenceService/Chat", answer["usage"])

    def chat_stream(self, counted: Counted) -> None:
        events = read(self._http, "/api/chat/stream", {**ANSWER, **SAYING})
        counted.answer("InferenceService/ChatStream", events[-1]["usage"])

    def generate(self, counted: Counted) -> None:
        usage = self._stub.Generate(inference_pb2.GenerateRequest(prompt="hello", **ANSWER)).usage
        tokens = {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens}
        counted.answer("InferenceService/Generate", tokens)

    def two_completions(self, counted: Counted) -> None:
        body = {**MODEL, "prompt": "hello", "max_tokens": 3, "n": 2}
        answer = self._http.post("/v1/completions", json=body).json()
        counted.answer("OpenAIService/CreateCompletion", answer["usage"], count=2)

    def embed(self, counted: Counted) -> None:
        answer = self._http.post("/api/embed", json={**MODEL, "texts": ["hello", "you"]}).json()
        counted.rpcs["EmbeddingService/Embed", "OK"] += 1
        counted.embedding_tokens += answer["usage"]["prompt_tokens"]

    def bad_temperature(self, counted: Counted) -> None:
        assert self._http.post("/api/generate", json={**ANSWER, "prompt": "x", "temperature": 9}).status_code == 400
        counted.rpcs["InferenceService/Generate", "INVALID_ARGUMENT"] += 1

    def unknown_model(self, counted: Counted) -> None:
        assert self._http.post("/api/generate", json={"model": "none", "prompt": "x"}).status_code == 404
        counted.rpcs["InferenceService/Generate", "NOT_FOUND"] += 1

    def too_long(self, counted: Counted) -> None:
        assert self._http.post("/api/generate", json=TOO_LONG).status_code == 400
        counted.rpcs["InferenceService/Generate", "INVALID_ARGUMENT"] += 1

    def leave(self, counted: Counted) -> None:
        request = inference_pb2.GenerateRequest(prompt="hello", model="tiny", max_tokens=1900, ignore_eos=True)
        stream = self._stub.GenerateStream(request)
        next(stream)
        stream.cancel()
        counted.rpcs["InferenceService/GenerateStream", "CANCELLED"] += 1


def rpcs(service: RunningService, counted: Counted) -> Counter[tuple[str, str]]:
    """Returns the service's own count of each kind that callers have counted."""
    return Counter(
        {
            (method, code): int(service.metric("rpcs_total", method=f"/llm_inference.v1.{method}", code=code))
            for method, code in counted.rpcs
        }
    )


def run(calls: list[Callable[[Counted], None]]) -> Counted:
    """Makes the calls, some at the same time, and returns what their callers saw."""

    def one(call: Callable[[Counted], None]) -> Counted:
        seen = Counted()
        call(seen)
        return seen

    total = Counted()
    with ThreadPoolExecutor(6) as pool:
        for seen in pool.map(one, calls):
            total.rpcs.update(seen.rpcs)
            for name in ("answers", "prompts", "prompt_tokens", "completion_tokens", "embedding_tokens"):
                setattr(total, name, getattr(total, name) + getattr(seen, name))
    return total


def logged_calls(service: RunningService) -> list[dict[str, Any]]:
    """Returns the log's lines of calls, without those of what Envoy has refused, which it writes later."""
    lines = [json.loads(line) for line in service.log().splitlines()]
    return [line for line in lines if line["logger"] == "llm_inference_api.access" and "rpc.method" in line]


def test_figures_equal_what_callers_counted(service: RunningService, http: httpx.Client, channel: grpc.Channel) -> None:
    """After 500 calls of all kinds, every count and every sum of tokens is the callers' own."""
    callers = Callers(service, http, channel)
    kinds = [
        *(callers.chat, callers.chat_stream, callers.generate, callers.two_completions, callers.embed),
        *(callers.bad_temperature, callers.unknown_model, callers.too_long, callers.generate),
    ]
    each_once = run([*kinds, callers.leave])
    service.wait_until_idle()
    before, log_before = rpcs(service, each_once), len(logged_calls(service))
    tokens = {name: service.metric(name, **MODEL) for name in _SUMS}
    counted = run([kinds[index % len(kinds)] for index in range(450)])
    service.wait_until_idle()
    after = {name: service.metric(name, **MODEL) - value for name, value in tokens.items()}
    assert after == {
        "prompt_tokens_total": counted.prompt_tokens,
        "completion_tokens_total": counted.completion_tokens,
        "embedding_tokens_total": counted.embedding_tokens,
        "embeddings_total": counted.rpcs["EmbeddingService/Embed", "OK"],
        "generations_total": counted.answers,
        "generation_seconds_count": counted.answers,
        "time_to_first_token_seconds_count": counted.answers,
        "request_completion_tokens_sum": counted.completion_tokens,
        "queue_seconds_count": counted.prompts,
        "failures_total": 50,
        "rejected_total": 50,
    }
    gone = service.metric("cancelled_total", **MODEL)
    counted.rpcs.update(run([callers.leave] * 50).rpcs)
    service.wait_for_metric("cancelled_total", gone + 50, **MODEL)
    service.wait_until_idle()
    assert sum(counted.rpcs.values()) == 500
    assert rpcs(service, each_once) - before == counted.rpcs
    access = logged_calls(service)[log_before:]
    logged = Counter((line["rpc.method"].removeprefix("/llm_inference.v1."), line["code"]) for line in access)
    assert {kind: logged[kind] for kind in counted.rpcs} == counted.rpcs
    assert service.metric("requests_running", **MODEL) == service.metric("requests_waiting", **MODEL) == 0
    assert service.metric("kv_cache_usage_ratio", **MODEL) == 0
    assert service.metric("worker_resident_bytes", **MODEL) > 1 << 20


_SUMS = (
    *("prompt_tokens_total", "completion_tokens_total", "embedding_tokens_total", "embeddings_total"),
    *("generations_total", "generation_seconds_count", "time_to_first_token_seconds_count"),
    *("request_completion_tokens_sum", "queue_seconds_count", "failures_total", "rejected_total"),
)


def test_gauges_of_the_model_server_protocol_are_there_before_any_request(
    tmp_path: Path, model_directory: Path
) -> None:
    """The three that the Gateway API's inference extension requires are 0 for a model that has served nothing.

    So are those of one that is not loaded. They are also on the port that `LLM_METRICS_PORT` names, without Envoy.
    """
    port = free_port()
    models = {"LLM_ALLOWED_MODELS": "tiny.gguf,other=tiny.gguf", "LLM_PRELOAD_MODELS": "tiny.gguf"}
    variables = {**models, "LLM_METRICS_PORT": str(port)}
    with run_service(tmp_path, model_directory, **variables) as service:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
        for name in ("requests_waiting", "requests_running", "kv_cache_usage_ratio"):
            assert f'llm_inference_{name}{{model="tiny.gguf"}} 0.0\n' in text
            assert f'llm_inference_{name}{{model="other"}} 0.0\n' in text, "not loaded yet"
        assert service.stop() == 0


def test_metrics_port_in_use_stops_the_start(tmp_path: Path) -> None:
    """The service says which setting to change."""
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        ports: dict[str, Any] = {
            "LLM_GRPC_PORT": str(free_port()),
            "LLM_INFERENCE_PORT": str(free_port()),
            "LLM_METRICS_PORT": str(taken.getsockname()[1]),
        }
        environment = {**clean_environment(), **ports}
        done = subprocess.run(
            [*COMMAND, "serve"], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 2
    assert "LLM_METRICS_PORT" in done.stderr
    assert "Traceback" not in done.stderr
