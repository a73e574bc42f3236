"""What Envoy answers where the service is away: when to come back, in the form of each API."""

from collections.abc import Iterator

import grpc
import httpx
import pytest
from google.protobuf import json_format
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from llm_inference.v1 import inference_pb2, models_pb2
from llm_inference_api.envoy.bootstrap import configuration
from llm_inference_api.envoy.sidecar import Sidecar, descriptor_path
from llm_inference_api.envoy.upstream import Upstream
from tests.e2e.grpc_web import CONTENT_TYPE, frame
from tests.e2e.replicas import run_envoy
from tests.e2e.secured import wait_until
from tests.e2e.service import inference, models
from tests.fakes.ports import free_port


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """An Envoy whose service does not exist."""
    nowhere = [Upstream("127.0.0.1", free_port())]
    descriptor = str(descriptor_path())
    sidecar = Sidecar("127.0.0.1", free_port(), nowhere, descriptor=descriptor, ollama_port=free_port())
    with run_envoy(tmp_path_factory.mktemp("alone"), configuration(sidecar)):
        wait_until(lambda: answers(sidecar.port))
        yield sidecar


@pytest.fixture
def port(sidecar: Sidecar) -> int:
    """The port of REST."""
    return sidecar.port


def answers(port: int) -> bool:
    """Returns whether Envoy listens."""
    try:
        httpx.get(f"http://127.0.0.1:{port}/health/live", timeout=20)
    except httpx.TransportError:
        return False
    return True


def retry_delay(status: status_pb2.Status) -> float:
    """Returns the seconds of the status's RetryInfo, which follows an ErrorInfo."""
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == ("NOT_READY", "llm-inference-api")
    assert status.details[1].Unpack(retry)
    return retry.retry_delay.ToNanoseconds() / 1e9


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate/stream", "/metrics", "/"])
def test_rest_caller_is_told_when_to_come_back(port: int, path: str) -> None:
    """By `Retry-After`, and by a status with the same details that the service sends."""
    method = "POST" if "/api/" in path else "GET"
    answer = httpx.request(method, f"http://127.0.0.1:{port}{path}", json={"prompt": "x"}, timeout=20)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    status = json_format.ParseDict(answer.json(), status_pb2.Status())
    assert (status.code, retry_delay(status)) == (grpc.StatusCode.UNAVAILABLE.value[0], 1.0)
    assert "not ready" in status.message


def test_ollamas_caller_is_told_when_to_come_back(sidecar: Sidecar) -> None:
    """By `Retry-After`, and in one sentence; below `/v1` as OpenAI's are."""
    url = f"http://127.0.0.1:{sidecar.ollama_port}"
    for path in ("/api/chat", "/api/show"):
        answer = httpx.post(f"{url}{path}", json={}, timeout=20)
        assert (answer.status_code, answer.headers["retry-after"], list(answer.json())) == (503, "1", ["error"])
        assert "not ready" in answer.json()["error"]
    assert httpx.get(f"{url}/v1/models", timeout=20).json()["error"]["code"] == "not_ready"


def test_openai_caller_is_told_when_to_come_back(port: int) -> None:
    """In OpenAI's envelope."""
    answer = httpx.post(f"http://127.0.0.1:{port}/v1/chat/completions", json={}, timeout=20)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    error = answer.json()["error"]
    assert (error["type"], error["param"], error["code"]) == ("server_error", None, "not_ready")
    assert "not ready" in error["message"]


def test_grpc_caller_is_told_when_to_come_back(port: int) -> None:
    """By RetryInfo in the details, which repeat code and text of the call's status, unary and streamed."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        unary = models(channel).ListModels.future(models_pb2.ListModelsRequest(), timeout=60)
        stream = inference(channel).GenerateStream(inference_pb2.GenerateRequest(prompt="x"), timeout=60)
        for call in (unary, stream):
            assert call.code() is grpc.StatusCode.UNAVAILABLE
            assert retry_delay(rpc_status.from_call(call)) == 1.0  # It raises where they differ.


def test_grpc_web_caller_is_told_when_to_come_back(port: int) -> None:
    """A page sees the HTTP header."""
    url = f"http://127.0.0.1:{port}/llm_inference.v1.ModelService/ListModels"
    answer = httpx.post(url, content=frame(models_pb2.ListModelsRequest()), headers={"content-type": CONTENT_TYPE})
    assert answer.headers["grpc-status"] == str(grpc.StatusCode.UNAVAILABLE.value[0])
    assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_health_says_that_the_service_is_away(port: int, path: str) -> None:
    """With a text, as every error has."""
    answer = httpx.get(f"http://127.0.0.1:{port}{path}", timeout=20)
    assert (answer.status_code, answer.json()["message"]) == (503, "the service is not ready")
