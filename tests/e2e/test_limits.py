"""What one client may send, and that others do not feel a client that tries more."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from socket import create_connection

import grpc
import httpx
import pytest

from llm_inference.v1 import inference_pb2, models_pb2
from tests.e2e.grpc_web import frame
from tests.e2e.rapid_reset import start_and_reset
from tests.e2e.service import RunningService, models

DOORS = ("address", "through_envoy")


def test_long_headers_are_refused_by_their_length(http: httpx.Client) -> None:
    """8 KiB of headers are the limit, every time; what is below always passes."""
    for _ in range(10):
        assert http.get("/api/llms", headers={"x-long": "x" * 7000}).status_code == 200
        assert http.get("/api/llms", headers={"x-long": "x" * 9000}).status_code == 431


def test_long_metadata_are_refused_by_their_length(channel: grpc.Channel) -> None:
    """16 KiB on the gRPC port, every time."""
    for _ in range(10):
        assert models(channel).ListModels(models_pb2.ListModelsRequest(), metadata=[("x-long", "x" * 15000)]).models
        with pytest.raises(grpc.RpcError) as error:
            models(channel).ListModels(models_pb2.ListModelsRequest(), metadata=[("x-long", "x" * 17000)])
        assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_header_with_an_underscore_is_refused(http: httpx.Client) -> None:
    """Programs behind a proxy may take `x_name` for `x-name`."""
    assert http.get("/api/llms", headers={"x_request_id": "1"}).status_code == 400


@pytest.mark.parametrize("path", ["//api//llms", "/api/./llms", "/nope/../api/llms"])
def test_path_is_made_plain_before_it_is_looked_up(service: RunningService, path: str) -> None:
    """No spelling of a path leads around what is said of it."""
    with create_connection(("127.0.0.1", service.rest_port), 10) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("door", DOORS)
def test_calls_that_are_cut_off_at_once_cost_others_nothing(service: RunningService, door: str) -> None:
    """A client that starts and resets calls leaves nothing behind, and others are served meanwhile."""
    request = inference_pb2.GenerateRequest(model="tiny", prompt="x", max_tokens=500, ignore_eos=True)
    port = service.grpc_port if door == "address" else service.rest_port
    with ThreadPoolExecutor() as pool, grpc.insecure_channel(getattr(service, door)) as other:
        attacks = [pool.submit(start_and_reset, port, 1000, frame(request)) for _ in range(4)]
        slowest = 0.0
        while not all(attack.done() for attack in attacks):
            started = time.monotonic()
            assert models(other).ListModels(models_pb2.ListModelsRequest(), timeout=20).models
            slowest = max(slowest, time.monotonic() - started)
    assert all(attack.result() > 100 for attack in attacks)
    assert slowest < 5
    service.wait_for_metric("requests_running", 0, 30, model="tiny")
    service.wait_for_metric("requests_waiting", 0, 30, model="tiny")


@pytest.mark.parametrize("port", ["grpc_port", "rest_port"])
def test_many_idle_connections_cost_others_nothing(service: RunningService, port: str) -> None:
    """A thousand connections that say nothing are borne; the service answers as before."""
    with ExitStack() as connections, httpx.Client(base_url=service.url, timeout=20) as http:
        for _ in range(1000):
            connections.enter_context(create_connection(("127.0.0.1", getattr(service, port)), 10))
        for _ in range(5):
            assert http.get("/api/llms").status_code == 200
    assert service.process.poll() is None
