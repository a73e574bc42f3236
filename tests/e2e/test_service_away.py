"""A service that stops or is lost, as those see it who call through Envoy."""

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import httpx
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from llm_inference.v1 import inference_pb2, models_pb2
from llm_inference_api.envoy.bootstrap import configuration
from llm_inference_api.envoy.sidecar import Sidecar, descriptor_path
from llm_inference_api.envoy.upstream import Upstream
from tests.e2e.replicas import run_envoy, run_replicas
from tests.e2e.secured import wait_until
from tests.e2e.service import inference, models, run_service
from tests.e2e.sse import stream
from tests.fakes.ports import free_port

ENDLESS = {"prompt": "hello", "max_tokens": 1900, "ignore_eos": True}
ONE_MODEL = {"LLM_ALLOWED_MODELS": "tiny.gguf"}
FOREVER = "600"
"""Seconds that no test waits for."""


def test_lame_duck_is_the_same_through_envoy(tmp_path: Path, model_directory: Path) -> None:
    """While balancers learn that the service stops, it still takes requests, over REST as over gRPC."""
    with run_service(tmp_path, model_directory, **{**ONE_MODEL, "LLM_LAME_DUCK": FOREVER}) as service:
        service.process.send_signal(signal.SIGTERM)
        with service.http() as http, grpc.insecure_channel(service.through_envoy) as channel:
            wait_until(lambda: http.get("/health/ready").status_code == 503)
            assert http.get("/health/live").status_code == 200
            assert http.post("/api/generate", json={"prompt": "x", "max_tokens": 2}).status_code == 200
            assert models(channel).ListModels(models_pb2.ListModelsRequest(), timeout=60).models


def test_draining_service_says_itself_when_to_come_back(tmp_path: Path, model_directory: Path) -> None:
    """Not Envoy, which would know neither the reason nor whether another replica may be tried."""
    with run_service(tmp_path, model_directory, **ONE_MODEL) as service, service.http() as http:
        with stream(http, "/api/generate/stream", ENDLESS) as (_, events):
            next(events)
            with service.stopped_worker(), service.http() as other:
                service.process.send_signal(signal.SIGTERM)
                wait_until(lambda: other.get("/health/ready").status_code == 503)
                answer = other.get("/api/llms")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.json()["details"][0]["reason"] == "DRAINING"


def test_lost_service_is_told_in_the_form_of_each_api(tmp_path: Path) -> None:
    """Requests in flight at an Envoy that has nobody else to ask learn that they may try again."""
    with run_replicas(tmp_path, 1) as (replica,):
        upstream = Upstream("127.0.0.1", replica.port)
        sidecar = Sidecar("127.0.0.1", free_port(), [upstream], descriptor=str(descriptor_path()))
        with run_envoy(tmp_path, configuration(sidecar)), ThreadPoolExecutor() as pool:
            url = f"http://127.0.0.1:{sidecar.port}"
            wait_until(lambda: is_ready(url))
            asked = [pool.submit(httpx.post, url + path, json=CHAT, timeout=60) for path in CHATS]
            with grpc.insecure_channel(f"127.0.0.1:{sidecar.port}") as channel:
                call = inference(channel).Generate.future(inference_pb2.GenerateRequest(**ENDLESS), timeout=60)
                wait_until(lambda: replica.metric("requests_running") == len(CHATS) + 1)
                replica.kill()
                status = rpc_status.from_call(call)
            native, openai = (each.result() for each in asked)
    assert [each.headers["retry-after"] for each in (native, openai)] == ["1", "1"]
    assert native.json()["details"][0]["reason"] == "CONNECTION_LOST"
    assert openai.json()["error"]["code"] == "connection_lost"
    assert status.code == grpc.StatusCode.UNAVAILABLE.value[0]
    assert status.details[1].Is(error_details_pb2.RetryInfo.DESCRIPTOR)


CHATS = ("/api/chat", "/v1/chat/completions")
CHAT = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 1900, "ignore_eos": True}


def is_ready(url: str) -> bool:
    """Returns whether Envoy listens and has found the service ready."""
    try:
        return httpx.get(f"{url}/health/ready", timeout=20).status_code == 200
    except httpx.TransportError:
        return False
