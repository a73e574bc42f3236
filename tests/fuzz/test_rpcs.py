"""Random requests to every RPC and REST path: each is answered or refused by a reason, and nothing breaks.

FUZZ_COUNT is the number of requests for each RPC (100), FUZZ_SEED the first random seed (0): a failure names its seed.
"""

import json
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random
from statistics import quantiles
from typing import Any

import grpc
import httpx
import pytest
from gguf import PoolingType
from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

from llm_inference.v1 import (
    anthropic_pb2,
    decisions_pb2,
    embeddings_pb2,
    inference_pb2,
    models_pb2,
    ollama_pb2,
    openai_batches_pb2,
    openai_files_pb2,
    openai_pb2,
    ranking_pb2,
    responses_pb2,
    scores_pb2,
    tokens_pb2,
)
from llm_inference.web.v1 import operations_pb2, pages_pb2
from tests.e2e.service import RunningService, run_service
from tests.fakes.gguf import write_tiny_encoder
from tests.fakes.ports import free_port
from tests.fuzz.messages import TEXTS, fill, mutate

COUNT = int(os.environ.get("FUZZ_COUNT", "100"))
SEED = int(os.environ.get("FUZZ_SEED", "0"))
CALLERS = 8
DEADLINE = 0.5
"""Seconds: a request that is valid may ask for a long answer."""
Request = Callable[[], tuple[str, str]]
"""Sends a request and returns its end, a code and a text."""
FILES = (
    inference_pb2,
    anthropic_pb2,
    decisions_pb2,
    embeddings_pb2,
    scores_pb2,
    tokens_pb2,
    models_pb2,
    ollama_pb2,
    openai_batches_pb2,
    openai_files_pb2,
    openai_pb2,
    ranking_pb2,
    responses_pb2,
    operations_pb2,
    pages_pb2,
)
METHODS: dict[str, MethodDescriptor] = {
    f"/{service.full_name}/{method.name}": method
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
EXPECTED = {
    *("OK", "INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "FAILED_PRECONDITION"),
    "UNIMPLEMENTED",
}
EXPECTED_HTTP = {"200", "400", "404", "405", "411", "413", "415", "422", "429", "501", "504"}
REFUSED = {"INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "400", "404", "413", "422"}
"""Ends whose time is printed."""
REVEALING = re.compile(r"Traceback|\.py\b|/site-packages|<class '|object at 0x|llm_inference_api\.")
SEEDS: dict[str, dict[str, Any]] = {
    "GenerateRequest": {"model": "tiny", "prompt": "hello", "max_tokens": 3},
    "ChatRequest": {"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 3},
    "EmbedRequest": {"model": "tiny", "texts": ["hello"]},
    "RankRequest": {"model": "ranker", "query": "a cat", "documents": ["a dog"]},
    "TokenizeRequest": {"model": "tiny", "text": "hello"},
    "DetokenizeRequest": {"model": "tiny", "token_ids": [1, 2]},
}
BODIES: dict[str, dict[str, Any]] = {
    "/api/generate": SEEDS["GenerateRequest"],
    "/api/generate/stream": SEEDS["GenerateRequest"],
    "/api/chat": SEEDS["ChatRequest"],
    "/api/chat/stream": SEEDS["ChatRequest"],
    "/api/embed": SEEDS["EmbedRequest"],
    "/api/rank": SEEDS["RankRequest"],
    "/v1/rerank": SEEDS["RankRequest"],
    "/v1/chat/completions": SEEDS["ChatRequest"],
    "/v1/completions": {"model": "tiny", "prompt": "hello", "max_tokens": 3},
    "/v1/embeddings": {"model": "tiny", "input": ["hello"]},
    "/v1/responses": {"model": "tiny", "input": "hello", "max_output_tokens": 3},
    "/v1/responses/input_tokens": {"model": "tiny", "input": "hello"},
    "/v1/messages": {**SEEDS["ChatRequest"], "stop_sequences": ["x"]},
    "/v1/messages/count_tokens": {"model": "tiny", "messages": SEEDS["ChatRequest"]["messages"]},
    "/v1/decisions": {
        "model": "tiny",
        "input": "hello",
        "questions": [{"type": "predicate", "name": "a", "instructions": "Yes?"}],
    },
    "/v1/systemone": {"model": "tiny", "state": "hello", "questions": {"a": {"type": "noul", "instructions": "Yes?"}}},
    "/v1/batches": {"input_file_id": "file-0", "endpoint": "/v1/completions", "completion_window": "24h"},
}
OLLAMA_BODIES: dict[str, dict[str, Any]] = {
    "/api/chat": {"model": "tiny", "messages": SEEDS["ChatRequest"]["messages"], "options": {"num_predict": 3}},
    "/api/generate": {"model": "tiny", "prompt": "hello", "options": {"num_predict": 3}},
    "/api/embed": {"model": "tiny", "input": "hello"},
    "/api/show": {"model": "tiny"},
    "/api/pull": {"model": "tiny"},
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, model_directory: Path) -> Iterator[RunningService]:
    """A service with one model, whose answers are short and whose queue holds all callers, and others for checks."""
    directory = tmp_path_factory.mktemp("models")
    for name in ("tiny.gguf", "steady.gguf"):
        shutil.copy(model_directory / name, directory)
    write_tiny_encoder(directory / "ranker.gguf", pooling=PoolingType.RANK)
    variables = {
        "LLM_ALLOWED_MODELS": "tiny=tiny.gguf,steady=steady.gguf,ranker=ranker.gguf",
        "LLM_PRELOAD_MODELS": "tiny,steady,ranker",
        "LLM_BATCH_STORE": str(directory / "batches"),
        "LLM_OLLAMA_PORT": str(free_port()),
        "LLM_MAX_TOKENS_LIMIT": "64",
        "LLM_DEFAULT_MAX_TOKENS": "4",
    }
    with run_service(tmp_path_factory.mktemp("fuzz"), directory, **variables) as running:
        yield running
        assert running.metric("worker_crashes_total") == 0
        assert running.process.poll() is None


@contextmanager
def connected(service: RunningService) -> Iterator[grpc.Channel]:
    """Yields a channel that is connected already, since the requests are timed."""
    with grpc.insecure_channel(service.address) as channel:
        grpc.channel_ready_future(channel).result(30)
        yield channel


@pytest.mark.parametrize("path", METHODS)
def test_any_message_gets_an_answer_or_a_reason(service: RunningService, path: str) -> None:
    """One of the codes that say what is wrong with a request, and no text that shows the code's inside."""
    with connected(service) as channel:
        method = METHODS[path]
        call = channel.unary_stream(path, lambda message: message, lambda data: data)
        ends = _all(lambda seed: partial(_call, call, _request(method, Random(seed))), path)
    assert {code for code, _ in ends} <= EXPECTED, _unexpected(ends, EXPECTED)


def test_bytes_that_are_no_message_are_refused(service: RunningService) -> None:
    """By gRPC's decoding or, where they happen to decode, as any other request."""
    with connected(service) as channel:
        paths = list(METHODS)

        def prepare(seed: int) -> Request:
            random = Random(seed)
            call = channel.unary_stream(random.choice(paths), lambda data: data, lambda data: data)
            return partial(_call, call, random.randbytes(random.choice((1, 5, 50, 500))))

        ends = _all(prepare, "bytes")
    assert {code for code, _ in ends} <= EXPECTED, _unexpected(ends, EXPECTED)


@pytest.mark.parametrize("path", BODIES)
def test_any_json_gets_an_answer_or_a_reason(service: RunningService, path: str) -> None:
    """Through Envoy, whole or broken."""
    with httpx.Client(base_url=service.url, timeout=30) as http:
        ends = _all(lambda seed: partial(_post, http, path, _body(BODIES[path], Random(seed))), path)
    assert {code for code, _ in ends} <= EXPECTED_HTTP, _unexpected(ends, EXPECTED_HTTP)


@pytest.mark.parametrize("path", OLLAMA_BODIES)
def test_any_json_of_ollamas_gets_an_answer_or_a_reason(service: RunningService, path: str) -> None:
    """The same on the port of its API."""
    with httpx.Client(base_url=service.ollama_url, timeout=30) as http:
        bodies = OLLAMA_BODIES[path]
        ends = _all(lambda seed: partial(_post, http, path, _body(bodies, Random(seed))), f"Ollama's {path}")
    assert {code for code, _ in ends} <= EXPECTED_HTTP, _unexpected(ends, EXPECTED_HTTP)


def _all(prepare: Callable[[int], Request], name: str) -> list[tuple[str, str]]:
    """Returns the code and text of each request's end; `prepare` returns what sends the request of a seed."""
    refusals: list[float] = []

    def timed(request: Request) -> tuple[str, str]:
        start = time.monotonic()
        end = request()
        if end[0] in REFUSED:
            refusals.append(time.monotonic() - start)
        return end

    requests = [prepare(seed) for seed in range(SEED, SEED + COUNT)]  # Making them takes the processor from the calls.
    begun = time.monotonic()
    with ThreadPoolExecutor(CALLERS) as pool:
        ends = list(pool.map(timed, requests))
    for seed, (_, text) in enumerate(ends, SEED):
        assert not REVEALING.search(text), (seed, text)
    p99 = f", refusals' p99 {1000 * quantiles(refusals, n=100)[-1]:.0f} ms" if len(refusals) > 1 else ""
    print(name, dict(Counter(code for code, _ in ends)), f"{time.monotonic() - begun:.1f} s{p99}")  # noqa: T201
    return ends


def _unexpected(ends: list[tuple[str, str]], expected: set[str]) -> dict[int, tuple[str, str]]:
    return {seed: end for seed, end in enumerate(ends, SEED) if end[0] not in expected}


def _request(method: MethodDescriptor, random: Random) -> bytes:
    message = GetMessageClass(method.input_type)()
    if seed := SEEDS.get(method.input_type.name):
        json_format.ParseDict(seed, message)
        message = mutate(message, random)
    elif random.random() < 0.9:
        fill(message, random)
    return message.SerializeToString()


def _call(call: Any, data: bytes) -> tuple[str, str]:
    try:
        for _ in call(data, timeout=DEADLINE):
            pass
    except grpc.RpcError as error:
        return error.code().name, error.details() or ""  # type: ignore[attr-defined]
    return "OK", ""


def _post(http: httpx.Client, path: str, body: bytes) -> tuple[str, str]:
    try:
        answer = http.post(path, content=body, headers={"grpc-timeout": "500m"})
    except httpx.HTTPError as error:
        return type(error).__name__, repr(error)
    return str(answer.status_code), answer.text if answer.status_code != 200 else ""


def _body(seed: dict[str, Any], random: Random) -> bytes:
    body: dict[str, Any] = json.loads(json.dumps(seed))
    names = (*seed, "stop", "temperature", "top_p", "n", "seed", "tools", "tool_choice", "response_format", "stream")
    for _ in range(random.randint(0, 4)):
        body[random.choice((*names, random.choice(TEXTS)))] = _value(random, 0)
    text = json.dumps(body)
    if random.random() < 0.2:
        cut = random.randrange(len(text))
        text = text[:cut] + random.choice(("", '"', "\\u12", "{", "]", "\x00", "1e9999", ",")) + text[cut + 1 :]
    return text.encode("utf-8", "surrogatepass")


def _value(random: Random, depth: int) -> Any:
    kinds = ("text", "number", "constant", "list", "object") if depth < 3 else ("text", "number", "constant")
    match random.choice(kinds):
        case "text":
            return random.choice(TEXTS)
        case "number":
            return random.choice((0, 1, -1, 0.5, 2**31, 2**63, 1e300, -0.0, 10**30))
        case "list":
            return [_value(random, depth + 1) for _ in range(random.choice((0, 1, 2, 5)))]
        case "object":
            return {random.choice(TEXTS): _value(random, depth + 1) for _ in range(random.choice((0, 1, 2)))}
    return random.choice((None, True, False))
