"""What pages of other origins may do: all that their origin is allowed, with errors that they can read."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest

from llm_inference.v1 import inference_pb2
from tests.e2e.grpc_web import CONTENT_TYPE, frame, frames
from tests.e2e.secured import run_secured, wait_until
from tests.e2e.service import RunningService
from tests.fakes.ports import free_port

ALLOWED, OTHER = "https://app.example:8443", "https://app.example"
KEY = "key-of-ann-0123456789"
PATHS = [
    "/api/generate",
    "/api/chat/stream",
    "/api/llms",
    "/api/llms/tiny:load",
    "/v1/chat/completions",
    "/v1/models",
    "/metrics",
    "/health/ready",
    "/llm_inference.v1.InferenceService/ChatStream",
    "/no/such/path",
]


@pytest.fixture(scope="module")
def page_service(tmp_path_factory: pytest.TempPathFactory, model_directory: Path) -> Iterator[RunningService]:
    """A service that pages of one origin may call, with a key, one request at a time."""
    variables = {
        "CORS_ALLOWED_ORIGINS": f"https://first.example,{ALLOWED}",
        "LLM_API_KEYS": f"ann:{KEY}",
        "LLM_MAX_REQUESTS_PER_CALLER": "1",
        "LLM_OLLAMA_PORT": str(free_port()),
    }
    with run_secured(tmp_path_factory.mktemp("cors"), model_directory, **variables) as running:
        yield running


@pytest.fixture(scope="module")
def page(page_service: RunningService) -> Iterator[httpx.Client]:
    """What a page of the allowed origin sends, with its key."""
    headers = {"origin": ALLOWED, "authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=page_service.url, headers=headers, timeout=60) as client:
        yield client


def preflight(client: httpx.Client, path: str, origin: str) -> httpx.Response:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
    request = client.build_request("OPTIONS", path, headers={"origin": origin, **asked})
    request.headers.pop("authorization", None)
    return client.send(request)


@pytest.mark.parametrize("path", PATHS)
def test_preflight_needs_no_key(page: httpx.Client, path: str) -> None:
    """A browser asks first, without a key, whatever the path."""
    answer = preflight(page, path, ALLOWED)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == ALLOWED
    assert "POST" in answer.headers["access-control-allow-methods"]
    # All headers, and the one that the star does not mean.
    assert {"authorization", "*"} <= set(answer.headers["access-control-allow-headers"].split(", "))
    assert "PUT" not in answer.headers["access-control-allow-methods"]  # No path has it.


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("origin", [OTHER, "https://app.example:84430", "https://evil.example", "null"])
def test_other_origins_are_not_allowed(page: httpx.Client, path: str, origin: str) -> None:
    """Neither a similar origin nor a page without one."""
    for answer in (preflight(page, path, origin), page.get(path, headers={"origin": origin})):
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("request_line", "headers", "body", "status"),
    [
        ("GET /api/llms", {}, None, 200),
        ("GET /api/llms", {"authorization": ""}, None, 401),
        ("GET /v1/models", {"authorization": "Bearer wrong"}, None, 401),
        ("GET /v1/models/none", {}, None, 404),
        ("GET /no/such/path", {}, None, 404),
        ("GET /api/chat", {}, None, 405),
        ("DELETE /v1/chat/completions", {}, None, 405),
        ("POST /api/generate", {}, b"no json", 400),
        ("POST /api/generate", {}, b'{"prompt": "x", "top_p": 7}', 400),
        ("POST /api/generate", {}, b" " * (5 << 20), 413),
        ("GET /health/live", {"authorization": ""}, None, 200),
    ],
)
def test_page_can_read_every_answer(
    page: httpx.Client, request_line: str, headers: dict[str, str], body: bytes | None, status: int
) -> None:
    """The service's errors and Envoy's own alike."""
    answer = page.request(*request_line.split(), headers=headers, content=body)
    assert answer.status_code == status
    assert answer.headers["access-control-allow-origin"] == ALLOWED


def test_page_can_read_when_to_come_back(page: httpx.Client) -> None:
    """A caller with too many open requests is told so by 429, in the shape of the API that it uses."""
    with page.stream("GET", "/api/llms/tiny:watch") as watch:
        events = watch.iter_lines()
        assert next(events)
        for path in ("/api/llms", "/v1/models"):
            answer = page.get(path)
            assert answer.status_code == 429
            assert answer.headers["access-control-allow-origin"] == ALLOWED
            assert int(answer.headers["retry-after"]) >= 1
            assert "retry-after" in answer.headers["access-control-expose-headers"]
    wait_until(lambda: page.get("/v1/models").status_code == 200)


def test_page_speaks_grpc_web(page: httpx.Client) -> None:
    """gRPC-Web works from another origin, with the errors' details in the trailers."""
    path, headers = "/llm_inference.v1.InferenceService/Generate", {"content-type": CONTENT_TYPE, "x-grpc-web": "1"}
    asked = inference_pb2.GenerateRequest(prompt="x", max_tokens=3, ignore_eos=True)
    answer = page.post(path, content=frame(asked), headers=headers)
    assert answer.headers["access-control-allow-origin"] == ALLOWED
    (message,), trailers = frames(answer.content)
    assert inference_pb2.GenerateResponse.FromString(message).usage.completion_tokens == 3
    assert trailers["grpc-status"] == "0"
    bad = page.post(path, content=frame(inference_pb2.GenerateRequest(prompt="x", top_p=7)), headers=headers)
    assert bad.headers["grpc-status"] == str(grpc.StatusCode.INVALID_ARGUMENT.value[0])
    assert "grpc-status-details-bin" in bad.headers["access-control-expose-headers"]


def test_page_and_key_count_for_ollamas_api_too(page_service: RunningService) -> None:
    """Whether the service runs is said without a key, as its clients ask before they send one."""
    with httpx.Client(base_url=page_service.ollama_url, headers={"origin": ALLOWED}, timeout=60) as page:
        assert page.get("/").text == "Ollama is running"
        refused = page.get("/api/tags")
        assert (refused.status_code, list(refused.json())) == (401, ["error"])
        allowed = page.get("/api/tags", headers={"authorization": f"Bearer {KEY}"})
        assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, ALLOWED)
        assert "DELETE" in preflight(page, "/api/delete", ALLOWED).headers["access-control-allow-methods"]
        assert "access-control-allow-origin" not in preflight(page, "/api/chat", OTHER).headers
        assert page.get("/api/tags", headers={"origin": OTHER}).status_code == 403


def test_every_origin_is_allowed_by_default(service: RunningService) -> None:
    """Pages can try a service that was just started."""
    answer = httpx.get(f"{service.url}/api/llms", headers={"origin": OTHER}, timeout=10)
    assert answer.headers["access-control-allow-origin"] == OTHER
