"""Addresses, protocols and probes with which the service is reached, and the log of requests that it never sees."""

import json
import socket
import time
from collections.abc import Iterator

import grpc
import httpx
import pytest

from llm_inference.v1 import models_pb2
from tests.e2e.raw_http import send
from tests.e2e.service import RunningService, models, run_service

LOOPBACKS = ("127.0.0.1", "[::1]")


@pytest.fixture
def http(demo: RunningService) -> Iterator[httpx.Client]:
    """A REST client of the demo."""
    with demo.http() as client:
        yield client


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready", "/api/llms", "/v1/models", "/"])
@pytest.mark.parametrize("host", [b"", b"Host: llm.example\r\n"])
def test_http_1_0_is_answered(demo: RunningService, path: str, host: bytes) -> None:
    """As nginx sends it by default, and probes that do not know the header `Host`."""
    answer = send(demo.rest_port, b"GET %s HTTP/1.0\r\n%s\r\n" % (path.encode(), host))
    assert answer.status == 200, answer


def test_stream_over_http_1_0_ends_with_its_connection(demo: RunningService) -> None:
    """That protocol has no chunks."""
    body = json.dumps({"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}).encode()
    head = b"POST /api/chat/stream HTTP/1.0\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    answer = send(demo.rest_port, head + body)
    assert answer.status == 200
    assert b"finish_reason" in answer.body.rpartition(b"data: ")[2]
    assert "transfer-encoding" not in answer.headers


def test_health_has_a_path_at_the_root(http: httpx.Client) -> None:
    """Load balancers of other servers of this kind ask there."""
    assert http.get("/health").status_code == 200
    assert http.head("/health").status_code == 200
    assert http.post("/health").status_code == 405


@pytest.mark.parametrize("hostname", ["::", "localhost", "127.0.0.1, ::1"])
def test_rest_and_grpc_listen_on_the_same_addresses(tmp_path_factory: pytest.TempPathFactory, hostname: str) -> None:
    """Of both families, whether they are listed, a name's, or all."""
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    if hostname == "localhost" and "::1" not in {entry[4][0] for entry in socket.getaddrinfo(hostname, None)}:
        pytest.skip("this machine's localhost has no address of IPv6")
    directory = tmp_path_factory.mktemp("addresses")
    variables = {"LLM_INFERENCE_HOSTNAME": hostname, "LLM_ALLOWED_MODELS": "demo", "LLM_PRELOAD_MODELS": ""}
    with run_service(directory, directory, wait=False, **variables) as service:
        wait_until_reached(service)
        for address in LOOPBACKS:
            assert httpx.get(f"http://{address}:{service.rest_port}/api/llms").status_code == 200
            assert httpx.get(f"http://{address}:{service.metrics_port}/metrics").status_code == 200
            with grpc.insecure_channel(f"{address}:{service.grpc_port}") as channel:
                assert models(channel).ListModels(models_pb2.ListModelsRequest(), timeout=30).models


def wait_until_reached(service: RunningService) -> None:
    """Returns when REST answers on both loopback addresses, or after a while."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and service.process.poll() is None:
        try:
            if all(httpx.get(f"http://{address}:{service.rest_port}/health").is_success for address in LOOPBACKS):
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.05)


def lines_about(service: RunningService, request_id: str) -> list[dict[str, object]]:
    """Returns the log's lines about a request, once there is one or a while has passed."""
    deadline = time.monotonic() + 30
    while True:
        text = [line for line in service.log().splitlines() if request_id in line]
        if text or time.monotonic() > deadline:
            return [json.loads(line) for line in text]
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("line", "body", "status"),
    [
        ("GET /v1/no-such-path", b"", 404),
        ("GET /api/chat", b"", 405),
        ("DELETE /v1/models", b"", 405),
        ("POST /api/chat", b"{", 400),
        ("POST /v1/chat/completions", b" " * (5 << 20), 413),
    ],
)
def test_what_envoy_refuses_is_logged_with_its_path(
    demo: RunningService, http: httpx.Client, line: str, body: bytes, status: int
) -> None:
    """The service does not see it; the query, which may hold a secret, is left out."""
    method, path = line.split()
    request_id = f"refused-{method}-{status}"
    answer = http.request(method, f"{path}?key=secret", content=body, headers={"x-request-id": request_id})
    assert answer.status_code == status
    (logged,) = lines_about(demo, request_id)
    assert (logged["path"], logged["method"], logged["status"]) == (path, method, status)
    assert logged["peer"] == "127.0.0.1"
    assert "secret" not in json.dumps(logged)


def test_what_the_service_answers_is_logged_once(demo: RunningService, http: httpx.Client) -> None:
    """By the service alone, also where it refuses."""
    http.post("/api/chat", json={}, headers={"x-request-id": "refused-by-the-service"})
    http.get("/no/such/path", headers={"x-request-id": "a-later-line-of-envoy"})
    assert lines_about(demo, "a-later-line-of-envoy")
    assert len(lines_about(demo, "refused-by-the-service")) == 1
