"""Very many of something: requests, loads, connections, watches. Nothing is lost, and the service becomes what it was.

SOAK_REQUESTS (100,000), SOAK_LOADS (1,000), SOAK_CONNECTIONS (10,000) and SOAK_WATCHES (1,000) are how many.
"""

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from socket import create_connection, socket
from statistics import quantiles

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from h2.config import H2Configuration
from h2.connection import H2Connection

from llm_inference.v1 import inference_pb2
from llm_inference_api.rpc.health import model_name
from tests.e2e.service import RunningService, inference, run_service
from tests.faults.baseline import Baseline, Process
from tests.faults.callers import Callers, Target
from tests.faults.conftest import MODEL, VARIABLES

REQUESTS = int(os.environ.get("SOAK_REQUESTS", "100000"))
LOADS = int(os.environ.get("SOAK_LOADS", "1000"))
CONNECTIONS = int(os.environ.get("SOAK_CONNECTIONS", "10000"))
WATCHES = int(os.environ.get("SOAK_WATCHES", "1000"))
CALLERS = 8
WATCHES_EACH = 100
"""Health watches of one connection."""
GROWTH = 32 << 20
"""Bytes that a process may grow by."""
CONNECTION_BYTES = 64 << 10
"""Bytes that an idle connection may cost."""

pytestmark = [pytest.mark.soak, pytest.mark.timeout(0)]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, model_directory: Path) -> Iterator[RunningService]:
    """A service that has been under load before."""
    with run_service(tmp_path_factory.mktemp("many"), model_directory, **VARIABLES) as running:
        with Callers(Target(running, MODEL)) as callers:
            callers.floor()
        yield running


def test_short_requests_leave_nothing_behind(service: RunningService) -> None:
    """Each is answered, and no process has grown."""
    request = inference_pb2.GenerateRequest(model=MODEL, prompt="Once", max_tokens=1)

    def ask(count: int) -> int:
        with grpc.insecure_channel(service.address) as channel:
            stub = inference(channel)
            return sum(stub.Generate(request, timeout=60).usage.completion_tokens for _ in range(count))

    with ThreadPoolExecutor(CALLERS) as pool:
        assert sum(pool.map(ask, [100] * CALLERS)) == 100 * CALLERS
        baseline, before = Baseline.of(service, MODEL), _resident(service)
        begun = time.monotonic()
        assert sum(pool.map(ask, [REQUESTS // CALLERS] * CALLERS)) == REQUESTS // CALLERS * CALLERS
    print(f"{REQUESTS} requests in {time.monotonic() - begun:.0f} s")  # noqa: T201
    baseline.check()
    _assert_no_growth(before, service)


def test_loads_and_unloads_leave_nothing_behind(service: RunningService) -> None:
    """No descriptor, process or memory stays of a model that was loaded."""
    with service.http() as http:

        def cycle() -> None:
            for verb in ("load", "unload"):
                answer = http.post(f"/api/llms/other:{verb}", timeout=60)
                assert answer.status_code == 200, answer.text

        for _ in range(5):
            cycle()
        baseline, before = Baseline.of(service, MODEL), _resident(service)
        begun = time.monotonic()
        for _ in range(LOADS):
            cycle()
    print(f"{LOADS} loads in {time.monotonic() - begun:.0f} s")  # noqa: T201
    baseline.check()
    _assert_no_growth(before, service)


def test_idle_connections_cost_little(service: RunningService) -> None:
    """Others are answered beside them, and at their end the service is what it was."""
    baseline = Baseline.of(service, MODEL)
    with ExitStack() as opened:
        for _ in range(CONNECTIONS):
            opened.enter_context(_idle(service.grpc_port))
        with grpc.insecure_channel(service.address) as channel:
            waits = [_probe(channel) for _ in range(100)]
        cost = (Process.of(service.process.pid).resident - baseline.server.resident) / CONNECTIONS
        print(f"{CONNECTIONS} connections: {cost / 1024:.0f} KiB each, {_p99(waits)}")  # noqa: T201
        assert cost < CONNECTION_BYTES
    baseline.check()


def test_connections_beyond_envoys_limit_end_no_running_one(service: RunningService) -> None:
    """Envoy closes what comes beyond its limit; a stream that has begun goes on, and afterwards there is room."""
    baseline = Baseline.of(service, MODEL)
    story = {"model": MODEL, "prompt": "Once", "max_tokens": 400, "ignore_eos": True}
    with service.http() as http, http.stream("POST", "/api/generate/stream", json=story) as stream:
        lines = stream.iter_lines()
        next(lines)
        with ExitStack() as opened:
            for _ in range(CONNECTIONS):
                opened.enter_context(_idle(service.rest_port))
            assert any('"finish_reason":"LENGTH"' in line for line in lines)
    deadline = time.monotonic() + 30
    while not _answers(service):
        assert time.monotonic() < deadline
    baseline.check()


def test_health_watches_are_all_told(service: RunningService) -> None:
    """Of each change, and at their end nothing stays."""
    baseline = Baseline.of(service, MODEL)
    name = model_name("other")
    told = threading.Semaphore(0)
    Status = health_pb2.HealthCheckResponse.ServingStatus  # noqa: N806

    def watch(call: grpc.Call) -> list[str]:
        seen = []
        try:
            for answer in call:
                seen.append(Status.Name(answer.status))
                told.release()
        except grpc.RpcError:
            pass
        return seen

    with ExitStack() as opened, ThreadPoolExecutor(WATCHES) as pool, service.http() as http:
        calls, readers = [], []
        for number in range(WATCHES):
            if number % WATCHES_EACH == 0:
                options = [("grpc.use_local_subchannel_pool", 1)]
                channel = opened.enter_context(grpc.insecure_channel(service.address, options=options))
            calls.append(health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=name)))
            readers.append(pool.submit(watch, calls[-1]))
        _take(told, WATCHES)
        assert http.post("/api/llms/other:load").status_code == 200
        _take(told, WATCHES)
        assert http.post("/api/llms/other:unload").status_code == 200
        _take(told, WATCHES)
        for call in calls:
            call.cancel()
        assert {tuple(reader.result()) for reader in readers} == {("NOT_SERVING", "SERVING", "NOT_SERVING")}
    baseline.check()


def _take(told: threading.Semaphore, count: int) -> None:
    for _ in range(count):
        assert told.acquire(timeout=60)


@contextmanager
def _idle(port: int) -> Iterator[socket]:
    """A connection that has said what HTTP/2 begins with, and nothing else."""
    client = H2Connection(H2Configuration())
    client.initiate_connection()
    with create_connection(("127.0.0.1", port), 60) as connection:
        connection.sendall(client.data_to_send())
        yield connection


def _probe(channel: grpc.Channel) -> float:
    """Returns the seconds that a health check takes."""
    begun = time.monotonic()
    health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=60)
    return time.monotonic() - begun


def _p99(waits: list[float]) -> str:
    return f"health check p99 {1000 * quantiles(waits, n=100)[-1]:.1f} ms"


def _answers(service: RunningService) -> bool:
    try:
        return httpx.get(f"{service.url}/health/ready", timeout=10).status_code == 200
    except httpx.HTTPError:
        return False


def _resident(service: RunningService) -> dict[int, int]:
    """Returns the bytes of memory of each process, by its id."""
    return {pid: Process.of(pid).resident for pid in (service.process.pid, *service.children())}


def _assert_no_growth(before: dict[int, int], service: RunningService) -> None:
    now = _resident(service)
    grown = {pid: now[pid] - size for pid, size in before.items() if pid in now}
    print({pid: f"{size / (1 << 20):+.1f} MiB" for pid, size in grown.items()})  # noqa: T201
    assert max(grown.values()) < GROWTH
