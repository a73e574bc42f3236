"""Stands in the place of llama-server's `utils`: the same names, over this service behind its Envoy."""

import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar, Literal, Tuple  # noqa: UP035 - the cases use it

import grpc
import requests
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.e2e.service import RunningService, run_service
from tests.oracle.metrics import llama_metrics
from tests.oracle.models import TEMPLATES, template_file, write_model
from tests.oracle.translation import Call, Json, Untranslatable, openai_error, stream_event, translated

__all__ = [
    "DEFAULT_REQUEST_TIMEOUT",
    "Any",
    "Callable",
    "Iterator",
    "Literal",
    "ServerError",
    "ServerPreset",
    "ServerProcess",
    "ServerResponse",
    "Tuple",
    "Untranslatable",
    "is_slow_test_allowed",
    "json",
    "match_regex",
    "os",
    "parallel_function_calls",
    "re",
    "requests",
    "sys",
    "time",
]

DEFAULT_REQUEST_TIMEOUT = 60
SMALLEST_BATCH = 64
ENCODER = "all-minilm-l6-v2"
ROUTED = (
    "ggml-org/tinygemma3-GGUF:Q8_0",
    "ggml-org/test-model-stories260K:F32",
    "ggml-org/test-model-stories260K-infill:F32",
)
"""Models of the router's cases."""

_services = ExitStack()
_running: dict[tuple[tuple[str, str], ...], RunningService] = {}
_started: set["ServerProcess"] = set()


class ServerResponse:
    """An answer in llama-server's words."""

    headers: Mapping[str, str]
    status_code: int
    body: Any


class ServerError(Exception):
    """A stream was refused."""

    def __init__(self, code: int, body: Any) -> None:
        self.code = code
        self.body = body


class ServerProcess:
    """A service with the settings that llama-server's options stand for.

    Services are kept for later cases with the same settings; their models are loaded anew, so that nothing is cached.
    """

    WITHOUT_PENDANT: ClassVar = (
        *("debug", "offline", "n_threads", "n_ubatch", "fa", "jinja", "server_slots", "server_continuous_batching"),
        *("model_hf_file", "server_embeddings"),
    )
    """Options that are left out: what they say is how this service always works, or is no matter of its API."""

    server_host = "127.0.0.1"
    server_port = 0
    model_hf_repo: str | None = None
    model_alias: str | None = None
    n_ctx = 512
    n_batch = 64
    n_slots = 2
    n_predict: int | None = None
    temperature = 0.8
    seed = 42
    kv_unified = False
    api_key: str | None = None
    chat_template: str | None = None
    chat_template_file: str | None = None
    models_max: int | None = None
    no_models_autoload = False
    cors_origins: str | None = None
    pooling: str | None = None
    reasoning: str | None = None
    server_metrics = False
    sleep_idle_seconds: int | None = None
    debug = False
    encoder = False
    infill = False
    router = False
    service: RunningService | None = None

    def start(self, timeout_seconds: int = 60) -> None:
        """Returns when the service serves. Raises Untranslatable for options that have no pendant."""
        if unknown := {name for name in vars(self) if not hasattr(ServerProcess, name)} - set(self.WITHOUT_PENDANT):
            raise Untranslatable(f"options: {sorted(unknown)}")
        variables = self._variables()
        if self.server_metrics:
            variables["LLM_DRAIN_TIMEOUT"] = str(100 + len(_running))  # Another service, whose counters begin at 0.
        key = tuple(sorted(variables.items()))
        self.service = _running.get(key)
        if self.service is None or self.service.process.poll() is not None:
            starting = run_service(_models_directory(), _models_directory(), wait=False, **variables)
            self.service = _running[key] = _services.enter_context(starting)
            _wait_until_ready(self.service, timeout_seconds)
        else:
            self._load_anew()
        self.server_port = self.service.rest_port
        _started.add(self)

    def stop(self) -> None:
        """Lets the service go; it is kept for others."""
        _started.discard(self)
        if self.service is not None and self.service.process.poll() is None:
            self.service.wait_until_idle()
        self.service = None

    def make_url(self, path: str, host: str | None = None) -> str:
        """Returns the address of a path."""
        return f"http://{host or self.server_host}:{self.server_port}{path}"

    def make_request(
        self,
        method: str,
        path: str,
        data: Any = None,
        headers: dict[str, Any] | None = None,
        timeout: float | None = DEFAULT_REQUEST_TIMEOUT,
        host: str | None = None,
    ) -> ServerResponse:
        """Returns the service's answer in llama-server's words."""
        call = translated(path, data) if method != "OPTIONS" else Call(f"/v1{path}", None)
        response = requests.request(
            method, self.make_url(call.path, host), json=call.body, headers=headers, timeout=timeout
        )
        result = ServerResponse()
        result.headers = response.headers
        result.status_code = response.status_code
        try:
            body = response.json()
        except requests.exceptions.JSONDecodeError:
            body = llama_metrics(response.text) if path == "/metrics" else response.text
        if isinstance(body, dict) and response.status_code >= 400:
            body = openai_error(response.status_code, body)
        elif response.ok:
            body = call.back(body)
            if isinstance(data, dict) and data.get("verbose", self.debug) and "messages" in data:
                body["__verbose"] = {"prompt": self._rendered(data)}
        result.body = body
        print("answer", response.status_code, json.dumps(result.body)[:2000])
        return result

    def make_stream_request(
        self, method: str, path: str, data: Any = None, headers: dict[str, Any] | None = None, host: str | None = None
    ) -> Iterator[Json]:
        """Yields the events of a stream. Raises ServerError where it is refused."""
        call = translated(path, data)
        url = self.make_url(call.path, host)
        with requests.post(url, headers=headers, json=call.body, stream=True, timeout=DEFAULT_REQUEST_TIMEOUT) as sent:
            if sent.status_code != 200:
                raise ServerError(sent.status_code, openai_error(sent.status_code, sent.json()))
            for line in sent.iter_lines():
                if line == b"data: [DONE]":
                    break
                if line.startswith(b"data: "):
                    event = json.loads(line[6:])
                    print("event", event)
                    yield stream_event(event) if call.path.startswith("/api/") else event

    def make_any_request(
        self,
        method: str,
        path: str,
        data: Json,
        headers: dict[str, Any] | None = None,
        timeout: float | None = DEFAULT_REQUEST_TIMEOUT,
    ) -> Json:
        """Returns the answer to a chat, put together where it is a stream."""
        if data.get("stream"):
            return _joined(self.make_stream_request(method, path, data, headers))
        response = self.make_request(method, path, data, headers, timeout=timeout)
        assert response.status_code == 200, f"{response.status_code}: {response.body}"
        return dict(response.body)

    def _variables(self) -> dict[str, str]:
        whole = self.kv_unified or self.router
        context = self.n_ctx if whole else self.n_ctx // self.n_slots
        variables = {
            "LLM_ALLOWED_MODELS": self._models(),
            "LLM_CONTEXT_LENGTH": str(context),
            "LLM_KV_CACHE_TOKENS": str(self.n_ctx),
            "LLM_MAX_CONCURRENT_REQUESTS": str(self.n_slots),
            "LLM_BATCH_TOKENS": str(max(self.n_batch, SMALLEST_BATCH)),
            "LLM_DEFAULT_TEMPERATURE": str(self.temperature),
            "LLM_DEFAULT_SEED": str(self.seed),
        }
        if self.n_predict is not None:
            variables["LLM_DEFAULT_MAX_TOKENS"] = str(context if self.n_predict == -1 else self.n_predict)
        if self.server_host != "127.0.0.1":
            variables["LLM_INFERENCE_HOSTNAME"] = self.server_host
        if self.api_key:
            variables |= {"LLM_API_KEYS": f"tests:{self.api_key}", "LLM_PUBLIC_PAGES": "true"}
        if self.models_max is not None:
            variables["LLM_MAX_LOADED_MODELS"] = str(self.models_max)
        if self.sleep_idle_seconds is not None:
            variables["LLM_IDLE_UNLOAD"] = str(self.sleep_idle_seconds)
        if self.no_models_autoload or self.pooling == "none" or self.reasoning == "off":
            raise Untranslatable(f"options: {vars(self)}")
        if self.cors_origins:
            variables["CORS_ALLOWED_ORIGINS"] = self.cors_origins
        return variables

    def _models(self) -> str:
        """Returns the models to serve, which are written where they do not exist."""
        if self.encoder:
            return f"{self.model_alias}={ENCODER}"
        if self.router:
            return ",".join(f"{name}={_model_file(None)}" for name in ROUTED)
        template = TEMPLATES.get(self.chat_template, self.chat_template) if self.chat_template else None
        if template is None:
            path = self.chat_template_file or (template_file(self.model_hf_repo) if self.model_hf_repo else None)
            template = Path(path).read_text() if path else None
        return f"{self.model_alias}={_model_file(template, infill=self.infill)}"

    def _load_anew(self) -> None:
        assert self.service is not None
        self.service.wait_until_idle()
        headers = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        names = ROUTED if self.router else (self.model_alias,)
        for verb in ("unload",) if self.router else ("unload", "load"):
            for name in names:
                requests.post(f"{self.service.url}/api/llms/{name}:{verb}", json={}, headers=headers, timeout=60)

    def _rendered(self, data: Json) -> str:
        call = translated("/apply-template", data)
        answer = requests.post(self.make_url(call.path), json=call.body, timeout=DEFAULT_REQUEST_TIMEOUT)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["prompt"])


class ServerPreset:
    """llama-server's presets, with models that can be had."""

    @staticmethod
    def tinyllama2() -> ServerProcess:
        """Returns the one of most cases: two slots of 256 tokens each."""
        server = ServerProcess()
        server.model_alias = "tinyllama-2"
        server.n_batch = 32
        server.n_predict = 64
        return server

    @staticmethod
    def bert_bge_small() -> ServerProcess:
        """Returns the one of embeddings."""
        server = ServerProcess()
        server.model_alias = "bert-bge-small"
        server.encoder = True
        server.n_batch = 128
        return server

    @staticmethod
    def bert_bge_small_with_fa() -> ServerProcess:
        """Returns the one of embeddings with longer texts."""
        server = ServerPreset.bert_bge_small()
        server.n_ctx = 1024
        server.n_batch = 300
        return server

    @staticmethod
    def tinyllama_infill() -> ServerProcess:
        """Returns the one that fills in the middle."""
        server = ServerPreset.tinyllama2()
        server.model_alias = "tinyllama-infill"
        server.infill = True
        server.n_ctx, server.n_slots, server.temperature = 2048, 1, 0.0
        return server

    @staticmethod
    def router() -> ServerProcess:
        """Returns the one with several models."""
        server = ServerProcess()
        server.router = True
        server.n_ctx, server.n_slots = 8192, 1
        return server

    @staticmethod
    def stories15m_moe() -> ServerProcess:
        """Returns a preset of foreign cases, which are not run but name it while they are imported."""
        return ServerProcess()

    jina_reranker_tiny = tinygemma3 = stories15m_moe


def stop_all() -> None:
    """Lets all services of a case go."""
    for server in tuple(_started):
        server.stop()


def close_services() -> None:
    """Ends all services."""
    _services.close()


def parallel_function_calls(function_list: list[tuple[Callable[..., Any], tuple[Any, ...]]]) -> list[Any]:
    """Returns what the functions return, in their order, None for those that raise; they run side by side."""

    def result(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        try:
            return function(*arguments)
        except Exception as error:
            print(f"raised {error!r}")
            return None

    with ThreadPoolExecutor(len(function_list)) as threads:
        return list(threads.map(lambda call: result(*call), function_list))


def match_regex(regex: str, text: str) -> bool:
    """Returns whether the expression is found in the text."""
    return re.search(regex, text, re.IGNORECASE | re.MULTILINE | re.DOTALL) is not None


def is_slow_test_allowed() -> bool:
    """Returns False: these cases need models of several GB."""
    return False


def _joined(chunks: Iterator[Json]) -> Json:
    """Returns the answer that a stream's chunks add up to, as llama-server's own `utils` puts it together."""
    texts: dict[str, str] = {}
    calls: list[Json] = []
    for chunk in chunks:
        assert len(chunk["choices"]) == 1
        delta = chunk["choices"][0]["delta"]
        for name in ("content", "reasoning_content"):
            if delta.get(name) is not None and "role" not in delta:
                assert delta[name], f"{name} is empty"
                texts[name] = texts.get(name, "") + delta[name]
        for part in delta.get("tool_calls", ()):
            function = part["function"]
            if part["index"] >= len(calls):
                assert part["id"]
                assert part["type"] == "function"
                assert function["name"]
                calls.append({"id": part["id"], "type": "function", "function": {"name": "", "arguments": ""}})
            for name in ("name", "arguments"):
                calls[part["index"]]["function"][name] += function.get(name) or ""
    return {"choices": [{"index": 0, "message": {"role": "assistant", **texts, "tool_calls": calls or None}}]}


def _wait_until_ready(service: RunningService, seconds: float) -> None:
    """Returns when the models that the start loads are loaded, which callers without a key may ask too."""
    deadline = time.monotonic() + seconds
    request = health_pb2.HealthCheckRequest(service="preloaded")
    with grpc.insecure_channel(service.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        while True:
            assert service.process.poll() is None, service.log()
            assert time.monotonic() < deadline, service.log()
            try:
                loaded = health.Check(request, timeout=10).status == health_pb2.HealthCheckResponse.SERVING
                if loaded and requests.get(f"{service.url}/health/ready", timeout=10).status_code == 200:
                    return
            except (grpc.RpcError, requests.exceptions.RequestException):
                pass
            time.sleep(0.05)


_files: dict[tuple[str | None, bool], str] = {}
_directory: list[Path] = []


def _models_directory() -> Path:
    if not _directory:
        _directory.append(Path(_services.enter_context(tempfile.TemporaryDirectory(prefix="oracle-models-"))))
    return _directory[0]


def _model_file(template: str | None, *, infill: bool = False) -> str:
    """Returns the file name of the tiny model with this template."""
    key = (template, infill)
    if key not in _files:
        _files[key] = f"model-{len(_files)}.gguf"
        write_model(_models_directory() / _files[key], template, infill=infill)
    return _files[key]
