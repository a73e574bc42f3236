"""What a start says of settings that are in vain, of strangers' ways in, and of a model that is not there."""

import json
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from tests.e2e.service import COMMAND, RunningService, clean_environment, run_service

NOBODY = "http://127.0.0.1:9"
"""The address of a proxy that is not there (RFC 863 has the port)."""


def warnings(service: RunningService) -> list[str]:
    """Returns the log's messages that warn."""
    lines = [json.loads(line) for line in service.log().splitlines() if line.startswith("{")]
    return [line["message"] for line in lines if line["severity"] == "WARN"]


def test_model_that_is_not_there_is_looked_for_aloud(tmp_path: Path) -> None:
    """As the only one it leaves the service not ready; the log has the directory and its content, callers do not."""
    models = tmp_path / "models"
    (models / "sub").mkdir(parents=True)
    (models / "other.gguf").touch()
    with run_service(tmp_path, models, LLM_ALLOWED_MODELS="nope.gguf") as service:
        wait_for_status(f"{service.url}/health/ready", 503)
        assert f"nope.gguf was looked for in {models} (LLM_MODEL_PATH), which has other.gguf, sub/" in warnings(service)
        answer = httpx.post(f"{service.url}/api/tokenize", json={"text": "a"}, timeout=30)
        assert answer.status_code == 400
        assert "nope.gguf below LLM_MODEL_PATH does not exist" in answer.json()["message"]
        assert "other.gguf" not in answer.text


def wait_for_status(url: str, status: int) -> None:
    """Returns when the path answers so; fails when that takes too long."""
    deadline = time.monotonic() + 60
    while (seen := httpx.get(url).status_code) != status:
        assert time.monotonic() < deadline, seen
        time.sleep(0.05)


def test_start_warns_once_of_what_is_in_vain_and_of_strangers(tmp_path: Path) -> None:
    """A misspelt name, an address that all can reach, and pages of all sites."""
    variables = {"LLM_ALOWED_MODELS": "x", "LLM_ALLOWED_MODELS": "demo", "LLM_INFERENCE_HOSTNAME": "0.0.0.0"}
    with run_service(tmp_path, tmp_path, **variables) as service:
        said = warnings(service)
    assert [text.partition(";")[0] for text in said] == [
        "LLM_ALOWED_MODELS: is not a setting",
        "whoever reaches 0.0.0.0 may use the service without a key",
        "pages of every site may use the service from a browser that reaches it",
    ]


@pytest.mark.parametrize(
    "variables",
    [
        {"LLM_API_KEYS": "ann:0123456789abcdef0123", "LLM_INFERENCE_HOSTNAME": "0.0.0.0"},
        {"CORS_ALLOWED_ORIGINS": "localhost"},
    ],
)
def test_start_without_strangers_warns_of_nothing(tmp_path: Path, variables: dict[str, str]) -> None:
    """Keys keep them out; so do the loopback address and a list of origins."""
    with run_service(tmp_path, tmp_path, wait=False, LLM_ALLOWED_MODELS="demo", **variables) as service:
        deadline = time.monotonic() + 60
        while '"serving"' not in service.log() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not warnings(service)


def test_proxy_does_not_come_between_the_command_and_the_service(demo: RunningService) -> None:
    """The image's health check runs with whatever proxy its machine has."""
    proxies = {"http_proxy": NOBODY, "https_proxy": NOBODY, "grpc_proxy": NOBODY, "no_grpc_proxy": "other.example"}
    for address in (demo.address, f"localhost:{demo.grpc_port}"):
        done = subprocess.run(
            [*COMMAND, "health", "--address", address],
            env={**clean_environment(), **proxies},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert (done.returncode, done.stdout) == (0, "SERVING\n"), done.stderr


def test_model_that_is_not_served_is_answered_with_those_that_are(demo: RunningService) -> None:
    """With the paths that list them, on every API."""
    for path, body in (
        ("/api/tokenize", {"text": "a"}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}]}),
    ):
        answer = httpx.post(f"{demo.url}{path}", json={"model": "gpt-9", **body}, timeout=30)
        assert answer.status_code == 404
        assert "'gpt-9' is not served here; served are demo; see GET /v1/models" in answer.text


def test_no_process_waits_where_no_model_came_to_need_it(tmp_path: Path) -> None:
    """The first worker's is started before the model is looked at."""
    (tmp_path / "bad.gguf").write_bytes(b"no model")
    with run_service(tmp_path, tmp_path, LLM_ALLOWED_MODELS="bad.gguf") as service:
        deadline = time.monotonic() + 60
        while any(b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes() for pid in service.children()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
