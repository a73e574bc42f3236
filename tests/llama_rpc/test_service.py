"""The service with a model on two servers, which come and go."""

import time
from pathlib import Path

import httpx
import pytest

from tests.e2e.service import RunningService, run_service
from tests.e2e.sse import stream
from tests.fakes.ports import free_port
from tests.llama_rpc.servers import Server, library, two_servers

pytestmark = [pytest.mark.llama_rpc, pytest.mark.timeout(900)]

PROMPT = {"prompt": "hello", "max_tokens": 20, "temperature": 0, "ignore_eos": True}
MODELS = {"LLM_ALLOWED_MODELS": "far=tiny.gguf,near=tiny.gguf", "LLM_RPC_MODEL": "far", "LLM_REPRODUCIBLE": "false"}


def settings(*servers: Server) -> dict[str, str]:
    """Returns the settings of a service whose model `far` is on the servers."""
    return {
        **MODELS,
        "LLM_LLAMA_LIBRARY": str(library()),
        "LLM_RPC_SERVERS": ",".join(server.endpoint for server in servers),
        "LLM_PRELOAD_MODELS": "far,near",
    }


def generate(http: httpx.Client, model: str, **more: object) -> httpx.Response:
    return http.post("/api/generate", json={**PROMPT, "model": model, **more}, timeout=120)


def reason(response: httpx.Response) -> str:
    """Returns the error's reason."""
    return next(detail["reason"] for detail in response.json()["details"] if "reason" in detail)


def until_answered(service: RunningService, http: httpx.Client, model: str, seconds: float = 300.0) -> httpx.Response:
    """Returns the first answer of a model that comes back."""
    deadline = time.monotonic() + seconds
    while (response := generate(http, model)).status_code != 200:
        assert response.status_code == 503, response.text
        assert time.monotonic() < deadline, service.log()
        time.sleep(0.2)
    return response


def test_killed_server_costs_its_model_only(tmp_path: Path, model_directory: Path) -> None:
    """Its stream ends with the cause, new requests are told when to come back, and the server's return suffices."""
    with (
        two_servers() as (one, other),
        run_service(tmp_path, model_directory, **settings(one, other)) as service,
        service.http() as http,
    ):
        here = generate(http, "near").json()["text"]
        assert generate(http, "far").json()["text"] == here
        listed = {model["id"]: model for model in http.get("/api/llms").json()["models"]}
        assert listed["far"]["info"]["devices"] == ["RPC0", "RPC1"]
        assert listed["near"]["info"]["devices"] == ["CPU"]
        endless = {**PROMPT, "model": "far", "max_tokens": 1900}
        with stream(http, "/api/generate/stream", endless) as (_, events):
            next(events)
            other.kill()
            error = list(events)[-1]["error"]
        assert error["code"] == 14
        assert "a server that holds a part of the model is gone" in error["message"]
        away = generate(http, "far")
        assert (away.status_code, reason(away)) == (503, "RPC_SERVER_DOWN"), away.text
        assert "server 2 of LLM_RPC_SERVERS" in away.json()["message"]
        assert "retry-after" in away.headers
        assert generate(http, "near").json()["text"] == here
        other.start()
        assert until_answered(service, http, "far").json()["text"] == here
        assert service.process.poll() is None


def test_missing_server_is_waited_for(tmp_path: Path, model_directory: Path) -> None:
    """The service starts, and says which one it is; the other models are served."""
    missing = Server(library(), free_port())
    with (
        two_servers() as (there, _),
        run_service(tmp_path, model_directory, **settings(there, missing)) as service,
        service.http() as http,
    ):
        assert f"RPC server {missing.endpoint}, number 2 of LLM_RPC_SERVERS: nothing listens there" in service.log()
        assert reason(generate(http, "far")) == "RPC_SERVER_DOWN"
        assert generate(http, "near").status_code == 200
        try:
            missing.start()
            until_answered(service, http, "far")
        finally:
            missing.kill()


def test_some_layers_can_stay_here(tmp_path: Path, model_directory: Path) -> None:
    """With the same answer, and more of this machine's memory."""
    with two_servers() as servers:
        answers, sizes = [], []
        for layers in ("-1", "1"):
            given = {**settings(*servers), "LLM_GPU_LAYERS": layers, "LLM_PRELOAD_MODELS": "far"}
            with run_service(tmp_path, model_directory, **given) as service, service.http() as http:
                answers.append(generate(http, "far").json()["text"])
                sizes.append(service.metric("model_memory_bytes", model="far"))
        assert answers[0] == answers[1]
        assert sizes[0] < sizes[1]
