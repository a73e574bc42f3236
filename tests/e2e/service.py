"""Runs the real service behind the real Envoy, as its user would."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import httpx
import pytest
from google.protobuf.json_format import MessageToDict

from llm_inference.v1 import inference_pb2_grpc, models_pb2_grpc
from tests.fakes.ports import free_port

if TYPE_CHECKING:
    from tests.cluster.local_cluster import LocalCluster

COMMAND = (sys.executable, "-c", "from llm_inference_api.cli.main import main; main()")
_PORTS = ("LLM_INFERENCE_PORT", "LLM_GRPC_PORT", "LLM_METRICS_PORT")
OF_ONE_MACHINE = pytest.mark.skipif(
    "E2E_CLUSTER" in os.environ, reason="about the server's files and memory, which a cluster ignores"
)
_REPORTED = 1.0
"""Seconds after which a cluster's replicas have reported what they computed, which they do each 0.2 s."""


@dataclass(frozen=True)
class MetricsText:
    """What the service's metrics were at one time, in Prometheus's text format."""

    text: str

    def sum(self, name: str, labels: Mapping[str, str]) -> float:
        """Returns the sum of a metric's series that have these labels."""
        total = 0.0
        for line in self.text.splitlines():
            match = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
            if match and match[1] == f"llm_inference_{name}":
                has = dict(re.findall(r'(\w+)="([^"]*)"', match[2] or ""))
                if labels.items() <= has.items():
                    total += float(match[3])
        return total

    def nonzero(self, *names: str) -> dict[str, float]:
        """Returns those of the metrics whose sums are not 0."""
        return {name: value for name in names if (value := self.sum(name, {}))}


@dataclass
class RunningService:
    """A service's process, and the ways to talk to it."""

    process: subprocess.Popen[bytes]
    rest_port: int
    grpc_port: int
    log_path: Path
    metrics_port: int
    """It answers without a key, without TLS and without an RPC, which the metrics would count."""
    health_port: int | None = None
    ollama_port: int | None = None
    machines: Sequence[int] = ()
    """Process ids of the nodes of its cluster, where it has one."""

    @property
    def url(self) -> str:
        """The REST address."""
        return f"http://127.0.0.1:{self.rest_port}"

    @property
    def ollama_url(self) -> str:
        """The address of Ollama's API."""
        return f"http://127.0.0.1:{self.ollama_port}"

    @property
    def address(self) -> str:
        """The gRPC address."""
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def through_envoy(self) -> str:
        """The gRPC address that leads through Envoy."""
        return f"127.0.0.1:{self.rest_port}"

    def http(self) -> httpx.Client:
        """Returns a new REST client."""
        return httpx.Client(base_url=self.url, timeout=60)

    def metric(self, name: str, **labels: str) -> float:
        """Returns the sum of a metric's series that have these labels."""
        return self._metrics().sum(name, labels)

    def wait_for_metric(self, name: str, value: float, seconds: float = 60.0, **labels: str) -> None:
        """Returns when the metric has the value; fails when that takes too long."""
        deadline = time.monotonic() + seconds
        while (seen := self.metric(name, **labels)) != value:
            assert time.monotonic() < deadline, f"{name} is {seen}, not {value}, after {seconds} s"
            time.sleep(0.02)

    def wait_until_idle(self, seconds: float = 60.0) -> None:
        """Returns when no RPC is open and no model computes or queues a request; fails when that takes too long.

        A caller that cancels or hangs up does not wait for the service, which may learn of it later. The metrics have
        all that was computed then.
        """
        deadline = time.monotonic() + seconds
        while busy := self._metrics().nonzero("rpcs_in_flight", "requests_running", "requests_waiting"):
            assert time.monotonic() < deadline, f"not idle after {seconds} s: {busy}"
            time.sleep(0.02)
        if self.machines:
            time.sleep(_REPORTED)

    def _metrics(self) -> MetricsText:
        # Not httpx: each new client of it reads the system's certificates, which takes longer than the answer.
        connection = HTTPConnection("127.0.0.1", self.metrics_port, timeout=10)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        return MetricsText(text)

    def children(self) -> list[int]:
        """Returns the process ids of all descendants."""
        return descendants(self.process.pid)

    def resident_bytes(self) -> int:
        """Returns the memory of the service's process, without its children."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def processor_time(self) -> float:
        """Returns the seconds that the service's process has computed, without its children."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def worker_pid(self) -> int:
        """Returns the process id of the only model's worker."""
        pids = [*self.children(), *(pid for machine in self.machines for pid in descendants(machine))]
        (pid,) = (pid for pid in pids if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes())
        return pid

    @contextmanager
    def stopped_worker(self) -> Iterator[None]:
        """Stops the only model's worker for the block: what it computes does not end meanwhile."""
        pid = self.worker_pid()
        os.kill(pid, signal.SIGSTOP)
        yield
        if is_alive(pid):
            os.kill(pid, signal.SIGCONT)

    def log(self) -> str:
        """Returns what the service has logged so far."""
        return self.log_path.read_text()

    def stop(self, number: int = signal.SIGTERM, seconds: float = 60.0) -> int:
        """Sends a signal and returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(seconds)


def descendants(pid: int) -> list[int]:
    """Returns the process ids of a process's children, their children and so on."""
    try:
        # Children belong to the thread that started them.
        tasks = Path(f"/proc/{pid}/task").glob("*/children")
        listed = [int(child) for task in tasks for child in task.read_text().split()]
    except FileNotFoundError:
        return []
    return [found for child in listed for found in (child, *descendants(child))]


@contextmanager
def run_service(
    directory: Path,
    model_path: Path,
    *,
    wait: bool = True,
    options: Sequence[str] = (),
    unset: tuple[str, ...] = (),
    **variables: str,
) -> Iterator[RunningService]:
    """Yields a service with the variables of the environment; with `wait`, once its preloaded models are active.

    It runs in the directory, with the command line's options, and without the variables of `unset`, which a file there
    may give. One thread computes: those of llama.cpp wait for each other in loops, so that two take many times as long
    as one where something else has a processor.
    """
    ports = {name: str(free_port()) for name in _PORTS}
    fixed = {
        "LLM_MODEL_PATH": str(model_path),
        "LLM_LAME_DUCK": "0",
        "LLM_INFERENCE_HOSTNAME": "127.0.0.1",
        "LLM_THREADS": "1",
    }
    log_path = directory / f"service-{ports['LLM_INFERENCE_PORT']}.log"
    with _cluster() as cluster:
        environment = {**clean_environment(), **ports, **fixed, **variables}
        if cluster is not None:
            environment["LLM_CLUSTER"] = cluster.address
        with log_path.open("wb") as log:
            given = {name: value for name, value in environment.items() if name not in unset}
            process = subprocess.Popen([*COMMAND, "serve", *options], env=given, cwd=directory, stdout=log, stderr=log)
        with _running(process, environment, log_path) as service:
            service.machines = cluster.machines if cluster is not None else ()
            if wait:
                wait_until_active(service)
            yield service


@contextmanager
def _cluster() -> Iterator["LocalCluster | None"]:
    """Yields a Ray cluster, with E2E_CLUSTER; else None."""
    if not os.environ.get("E2E_CLUSTER"):
        yield None
        return
    from tests.cluster.local_cluster import local_cluster  # noqa: PLC0415 - an extra

    with local_cluster(nodes=1, processors=64) as cluster:
        yield cluster


@contextmanager
def _running(
    process: subprocess.Popen[bytes], environment: Mapping[str, str], log_path: Path
) -> Iterator[RunningService]:
    """Yields the service of a process; kills that and its children at the end."""
    health_port = int(environment["LLM_HEALTH_PORT"]) if "LLM_HEALTH_PORT" in environment else None
    ollama_port = int(environment["LLM_OLLAMA_PORT"]) if "LLM_OLLAMA_PORT" in environment else None
    rest_port, grpc_port, metrics_port = (int(environment[name]) for name in _PORTS)
    service = RunningService(process, rest_port, grpc_port, log_path, metrics_port, health_port, ollama_port)
    try:
        yield service
    finally:
        left = service.children()
        if process.poll() is None:
            process.kill()
            process.wait(10)
        for pid in left:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)


def clean_environment() -> dict[str, str]:
    """Returns this process's environment without settings of the service."""
    ours = ("LLM_", "CORS_", "HF_", "HUGGING_FACE_", "OTEL_", "TLS_", "SERVER_SSL", "SERVICE_NAME", "LOG_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def wait_until_active(service: RunningService, seconds: float = 90.0) -> None:
    """Returns when the models that the start loads are loaded; fails when the service ends or that takes too long."""
    deadline = time.monotonic() + seconds
    while True:
        assert service.process.poll() is None, f"the service ended:\n{service.log()}"
        assert time.monotonic() < deadline, f"not ready within {seconds} s:\n{service.log()}"
        try:
            states = [model["state"] for model in httpx.get(f"{service.url}/api/llms", timeout=10).json()["models"]]
        except (httpx.HTTPError, KeyError, ValueError):
            states = []
        # All of them have left UNLOADED when the first one is loaded.
        if {"ACTIVE", "FAILED"} & set(states) and set(states) <= {"ACTIVE", "FAILED", "UNLOADED"}:
            return
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    """Returns whether the process runs; one that has ended but was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def inference(channel: grpc.Channel) -> inference_pb2_grpc.InferenceServiceStub:
    """Returns a stub for generation."""
    return inference_pb2_grpc.InferenceServiceStub(channel)


def models(channel: grpc.Channel) -> models_pb2_grpc.ModelServiceStub:
    """Returns a stub for the models."""
    return models_pb2_grpc.ModelServiceStub(channel)


def as_dict(message: object) -> dict[str, object]:
    """Returns a message as REST shows it."""
    return MessageToDict(message, preserving_proto_field_name=True)  # type: ignore[arg-type]
