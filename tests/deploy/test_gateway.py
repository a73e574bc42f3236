"""The service behind a gateway with an endpoint picker, and the files that configure both."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from llm_inference.v1 import inference_pb2
from tests.deploy.manifests import committed
from tests.deploy.picker import HTTP2, run_gateway
from tests.e2e import sse
from tests.e2e.service import RunningService, inference

(POOL,) = committed("deploy/kubernetes/overlays/gateway/inference-pool.yaml")
PROMPT: dict[str, Any] = {"model": "tiny", "prompt": "hello", "max_tokens": 5, "ignore_eos": True}


@pytest.fixture(scope="module")
def gateway(service: RunningService, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a gateway that speaks the pool's protocol."""
    with run_gateway(tmp_path_factory.mktemp("gateway"), service.through_envoy, POOL["spec"]["appProtocol"]) as address:
        yield address


@pytest.fixture
def calls(gateway: str) -> Iterator[grpc.Channel]:
    """A gRPC channel through the gateway."""
    with grpc.insecure_channel(gateway) as channel:
        yield channel


@pytest.fixture
def rest(gateway: str) -> Iterator[httpx.Client]:
    """A REST client through the gateway."""
    with httpx.Client(base_url=f"http://{gateway}", timeout=60) as client:
        yield client


def test_grpc_passes(calls: grpc.Channel) -> None:
    """Unary and streamed answers come whole, with their status."""
    request = inference_pb2.GenerateRequest(**PROMPT)
    whole = inference(calls).Generate(request, timeout=60)
    parts = list(inference(calls).GenerateStream(request, timeout=60))
    assert whole.usage.completion_tokens == parts[-1].usage.completion_tokens == 5


def test_health_passes(calls: grpc.Channel) -> None:
    """Clients that watch their servers can."""
    answer = health_pb2_grpc.HealthStub(calls).Check(health_pb2.HealthCheckRequest(), timeout=60)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_details_of_an_error_pass(calls: grpc.Channel) -> None:
    """A caller learns which field was wrong."""
    with pytest.raises(grpc.RpcError) as caught:
        inference(calls).Generate(inference_pb2.GenerateRequest(model="tiny", prompt="x", top_p=2.0), timeout=60)
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]
    assert status is not None
    (bad,) = (each for each in status.details if each.Is(error_details_pb2.BadRequest.DESCRIPTOR))
    found = error_details_pb2.BadRequest()
    bad.Unpack(found)
    assert [each.field for each in found.field_violations] == ["top_p"]


def test_deadline_passes(calls: grpc.Channel) -> None:
    """The service ends the request at its caller's deadline."""
    request = inference_pb2.GenerateRequest(**{**PROMPT, "max_tokens": 100_000})
    with pytest.raises(grpc.RpcError) as caught:
        list(inference(calls).GenerateStream(request, timeout=0.5))
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED  # type: ignore[attr-defined]


def test_cancel_passes(calls: grpc.Channel, service: RunningService) -> None:
    """A caller who leaves frees the slot."""
    request = inference_pb2.GenerateRequest(**{**PROMPT, "max_tokens": 100_000})
    before = service.metric("cancelled_total")
    stream = inference(calls).GenerateStream(request, timeout=60)
    next(stream)
    stream.cancel()
    service.wait_for_metric("cancelled_total", before + 1)
    service.wait_for_metric("requests_running", 0)


def test_rest_passes(rest: httpx.Client) -> None:
    """Answers and errors are those of the replica."""
    assert rest.post("/api/generate", json=PROMPT).json()["usage"]["completion_tokens"] == 5
    assert rest.post("/api/generate", json={**PROMPT, "top_p": 2.0}).status_code == 400


def test_streams_over_rest_pass(rest: httpx.Client) -> None:
    """Events come one by one, OpenAI's with their end."""
    assert sse.read(rest, "/api/generate/stream", PROMPT)[-1]["usage"]["completion_tokens"] == 5
    body = {"model": "tiny", "prompt": "hello", "max_tokens": 5, "stream": True}
    with rest.stream("POST", "/v1/completions", json=body) as response:
        lines = [line for line in response.iter_lines() if line]
    assert response.status_code == 200
    assert lines[-1] == "data: [DONE]"


def test_a_pool_of_http_would_break_grpc(service: RunningService, tmp_path: Path) -> None:
    """The pool's protocol matters: by the default one, a call that succeeds loses its status."""
    assert POOL["spec"]["appProtocol"] == HTTP2
    with (
        run_gateway(tmp_path, service.through_envoy, "http") as address,
        grpc.insecure_channel(address) as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        inference(channel).Generate(inference_pb2.GenerateRequest(**PROMPT), timeout=60)
    assert caught.value.code() in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL)  # type: ignore[attr-defined]
