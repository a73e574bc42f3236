"""API keys, through Envoy and directly: nothing but health opens without one."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import openai
import pytest
from google.protobuf.descriptor_pool import Default
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from llm_inference.v1 import inference_pb2
from llm_inference_api.server import PAGES, RUNNING, SERVICE_NAMES
from tests.cli.test_main import run
from tests.e2e.grpc_web import CONTENT_TYPE, frame, frames
from tests.e2e.secured import is_serving, run_secured, wait_until
from tests.e2e.service import RunningService, inference

KEY, OTHER_KEY, FILE_KEY = "key-of-ann-0123456789", "key-of-bob-0123456789", "key-of-cat-0123456789"
ASK = {"prompt": "Hello", "max_tokens": 4, "ignore_eos": True}
MARK = "zanzibar-prompt-mark"
PORTS = ("rest_port", "grpc_port")
PATHS = [
    ("POST", "/api/generate"),
    ("POST", "/api/generate/stream"),
    ("POST", "/api/chat"),
    ("POST", "/api/chat/stream"),
    ("POST", "/api/embed"),
    ("POST", "/api/tokenize"),
    ("POST", "/api/detokenize"),
    ("POST", "/api/chat/render"),
    ("GET", "/api/llms"),
    ("GET", "/api/llms/tiny"),
    ("POST", "/api/llms/tiny:load"),
    ("POST", "/api/llms/tiny:unload"),
    ("POST", "/api/llms/tiny:download"),
    ("POST", "/api/llms/tiny:delete"),
    ("GET", "/api/llms/tiny:watch"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/tiny"),
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/completions"),
    ("POST", "/v1/embeddings"),
    ("POST", "/v1/responses"),
    ("POST", "/v1/responses/input_tokens"),
    ("GET", "/v1/responses/resp_1"),
    ("DELETE", "/v1/responses/resp_1"),
    ("GET", "/v1/responses/resp_1/input_items"),
    ("POST", "/v1/responses/resp_1/cancel"),
]


def methods() -> Iterator[str]:
    """Yields the full name of every method that needs a key: of all but the pages, and those that say it is there."""
    for name in SERVICE_NAMES:
        if not name.startswith("grpc."):
            for method in Default().FindServiceByName(name).methods:
                if not (path := f"/{name}/{method.name}").startswith((*RUNNING, PAGES)):
                    yield path
    yield "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    yield "/no.such.Service/Method"


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of keys."""
    file = tmp_path_factory.mktemp("keys") / "keys"
    file.write_text(f"cat:{FILE_KEY}\n")
    file.chmod(0o600)
    return file


@pytest.fixture(scope="module")
def guarded(
    tmp_path_factory: pytest.TempPathFactory, model_directory: Path, key_file: Path
) -> Iterator[RunningService]:
    """A service that wants keys."""
    keys = {"LLM_API_KEYS": f"ann:{KEY},bob:{OTHER_KEY}", "LLM_API_KEYS_FILE": str(key_file), "LOG_LEVEL": "DEBUG"}
    with run_secured(tmp_path_factory.mktemp("guarded"), model_directory, **keys) as running:
        yield running


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@pytest.fixture
def http(guarded: RunningService) -> Iterator[httpx.Client]:
    """A REST client without a key."""
    with guarded.http() as client:
        yield client


@pytest.mark.parametrize("headers", [{}, bearer("wrong"), bearer(KEY[:-1]), {"authorization": f"Basic {KEY}"}])
@pytest.mark.parametrize(("method", "path"), PATHS)
def test_path_without_a_valid_key_is_401(http: httpx.Client, method: str, path: str, headers: dict[str, str]) -> None:
    """The answer says how to authenticate, in the shape of its API, and nothing of the service."""
    answer = http.request(method, path, json={} if method == "POST" else None, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    document = answer.json()
    if path.startswith("/v1/"):
        assert document["error"] == {
            "message": document["error"]["message"],
            "type": "invalid_request_error",
            "param": None,
            "code": "invalid_api_key",
        }
    else:
        assert document["code"] == grpc.StatusCode.UNAUTHENTICATED.value[0]
    assert KEY not in answer.text


@pytest.mark.parametrize("path", ["/", "/status", "/swagger-ui", "/assets/chat/main.js"])
def test_pages_open_without_a_key(http: httpx.Client, path: str) -> None:
    """They hold no secret, and ask for the key themselves."""
    assert http.get(path).status_code == 200


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("method", list(methods()))
def test_method_without_a_key_is_unauthenticated(guarded: RunningService, method: str, port: str) -> None:
    """Every method is closed at both doors: also those that stream, and those that there are not."""
    with grpc.insecure_channel(f"127.0.0.1:{getattr(guarded, port)}") as channel:
        with pytest.raises(grpc.RpcError) as error:
            list(channel.unary_stream(method)(b"", timeout=10))
        assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED
        with pytest.raises(grpc.RpcError) as error:
            list(channel.stream_stream(method)(iter([b""]), timeout=10, metadata=[("authorization", "Bearer wrong")]))
        assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED
        details = rpc_status.from_call(error.value)
        assert details is not None
        assert details.code == grpc.StatusCode.UNAUTHENTICATED.value[0]


@pytest.mark.parametrize("key", [KEY, OTHER_KEY, FILE_KEY])
def test_valid_key_opens_both_doors(guarded: RunningService, http: httpx.Client, key: str) -> None:
    """REST, its streams, gRPC through Envoy and gRPC directly take the same key."""
    assert http.post("/api/generate", json=ASK, headers=bearer(key)).status_code == 200
    assert http.post("/api/generate/stream", json=ASK, headers=bearer(key)).text.startswith("data: ")
    assert http.get("/metrics", headers=bearer(key)).status_code == 200
    for port in PORTS:
        with grpc.insecure_channel(f"127.0.0.1:{getattr(guarded, port)}") as channel:
            metadata = list(bearer(key).items())
            assert inference(channel).Generate(inference_pb2.GenerateRequest(**ASK), metadata=metadata).usage
            reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
            asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
            assert list(reflection.ServerReflectionInfo(asked, metadata=metadata))


def test_health_needs_no_key(guarded: RunningService, http: httpx.Client) -> None:
    """Probes have none, at any door."""
    assert [http.get(f"/health/{name}").status_code for name in ("live", "ready")] == [200, 200]
    for port in (*PORTS, "health_port"):
        with grpc.insecure_channel(f"127.0.0.1:{getattr(guarded, port)}") as channel:
            assert is_serving(channel)


def test_openai_client_says_what_is_wrong(guarded: RunningService) -> None:
    """OpenAI's client raises its own error for a wrong key, and works with a right one."""
    with openai.OpenAI(base_url=f"{guarded.url}/v1", api_key="wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as error:
            client.models.list()
        assert error.value.code == "invalid_api_key"
    with openai.OpenAI(base_url=f"{guarded.url}/v1", api_key=KEY) as client:
        assert client.completions.create(model="tiny", prompt="x", max_tokens=3).usage


def test_grpc_web_needs_a_key_too(http: httpx.Client) -> None:
    """A page gets the status of a refused call, and the answers of an allowed one with its trailers."""
    path = "/llm_inference.v1.InferenceService/GenerateStream"
    body, headers = frame(inference_pb2.GenerateRequest(**ASK)), {"content-type": CONTENT_TYPE, "x-grpc-web": "1"}
    refused = http.post(path, content=body, headers=headers)
    assert refused.headers["grpc-status"] == str(grpc.StatusCode.UNAUTHENTICATED.value[0])
    answer = http.post(path, content=body, headers={**headers, **bearer(KEY)})
    messages, trailers = frames(answer.content)
    parts = [inference_pb2.GenerateStreamResponse.FromString(message) for message in messages]
    assert trailers["grpc-status"] == "0"
    assert parts[-1].usage.completion_tokens == 4


def test_command_line_shows_its_key(guarded: RunningService) -> None:
    """The key comes from the environment: a command line is for all to read."""
    arguments = ("generate", "Hello", "--max-tokens", "3", "--address", guarded.address)
    refused = run(*arguments)
    assert refused.returncode == 1
    assert "LLM_API_KEY" in refused.stderr
    assert run(*arguments, LLM_API_KEY=KEY).returncode == 0


def test_log_says_who_called_and_nothing_of_keys_or_prompts(guarded: RunningService, http: httpx.Client) -> None:
    """Even at level DEBUG; a request id finds the line of a call."""
    for key in (KEY, FILE_KEY, "a-wrong-key"):
        document = {"prompt": MARK, "max_tokens": 2, "stop": [f"{MARK}-stop"]}
        http.post("/api/generate", json=document, headers={**bearer(key), "x-request-id": f"id-of-{key[-3:]}"})
    callers = {"ann": 1, "cat": 1, "127.0.0.1": 1}
    wait_until(lambda: Counter(line["caller"] for line in access_lines(guarded)) == callers)
    for secret in (KEY, OTHER_KEY, FILE_KEY, "a-wrong-key", MARK):
        assert secret not in guarded.log()


def access_lines(service: RunningService) -> list[dict[str, str]]:
    return [json.loads(line) for line in service.log().splitlines() if '"request_id": "id-of-' in line]


def test_keys_do_not_reach_other_processes(guarded: RunningService) -> None:
    """Workers and Envoy start without them in their environment."""
    environments = [Path(f"/proc/{pid}/environ").read_bytes() for pid in guarded.children()]
    assert len(environments) >= 2
    assert not any(KEY.encode() in environment for environment in environments)


def test_changed_file_is_read_again(guarded: RunningService, http: httpx.Client, key_file: Path) -> None:
    """A key can be taken out and another put in while the service runs."""
    new = key_file.with_suffix(".new")
    new.write_text("cat:another-key-of-cat-01\n")
    new.replace(key_file)
    try:
        assert http.get("/api/llms", headers=bearer(FILE_KEY)).status_code == 401
        assert http.get("/api/llms", headers=bearer("another-key-of-cat-01")).status_code == 200
    finally:
        key_file.write_text(f"cat:{FILE_KEY}\n")


def test_settings_command_masks_keys() -> None:
    """What the settings are can be shown to anybody."""
    done = run("settings", LLM_API_KEYS=f"ann:{KEY}")
    assert done.returncode == 0
    assert KEY not in done.stdout
