"""What the server's process is made of, and how its parts end."""

import asyncio
import json
import logging
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

import pytest
from grpc._cython import cygrpc
from grpc_health.v1 import health_pb2

from llm_inference_api.config.settings import load_settings
from llm_inference_api.errors import ModelFailedError, UnavailableError
from llm_inference_api.requests.model_status import Observer
from llm_inference_api.rpc.grpc_leak import execute_batch
from llm_inference_api.rpc.health import PRELOADED
from llm_inference_api.server import Signals, build, model_policy
from tests.fakes.service import PARTS, Journal, fake_service

LONG = 60.0
"""Seconds; none of what has this limit takes any time."""
SHORT = 0.3


@pytest.fixture
def journal() -> Iterator[Journal]:
    journal = Journal()
    yield journal
    journal.never.set()


def test_servers_process_loads_nothing_that_computes() -> None:
    """llama.cpp and the rest of what a model needs belong to the workers' processes; e2e/test_imports.py has more."""
    heavy = ("llama_cpp", "llguidance", "tokenizers", "gguf", "ctransformers", "jinja2", "huggingface_hub", "numpy")
    assert loaded_with_the_server(heavy) == "[]"


def test_cryptography_is_loaded_with_tls_only() -> None:
    """It takes 6 MiB and a twentieth of the imports' time."""
    assert loaded_with_the_server(("cryptography",)) == "[]"


def loaded_with_the_server(names: tuple[str, ...]) -> str:
    program = f"import sys, llm_inference_api.server; print([name for name in {names} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.strip()


async def test_parts_stop_in_their_order(journal: Journal) -> None:
    """Models first, so that callers hear why; Envoy behind the ports, whose last messages it passes on."""
    service = fake_service(journal, LONG)
    async with service.running():
        assert sorted(journal.started) == ["Envoy", "batches", "gRPC ports", "metrics port"]
        assert journal.stopped == []
        assert not service.admission.closed  # type: ignore[attr-defined]
    assert service.admission.closed  # type: ignore[attr-defined]
    assert tuple(journal.stopped) == PARTS


async def test_service_is_not_preloaded_before_envoy_listens(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its callers come over REST."""
    service = fake_service(journal, LONG)
    seen = []

    async def preloaded() -> int:
        answer = await service.health.servicer.Check(health_pb2.HealthCheckRequest(service=PRELOADED), None)  # type: ignore[arg-type]
        return int(answer.status)

    async def start(_certificates: object) -> None:
        seen.append(await preloaded())

    monkeypatch.setattr(service.envoy, "start", start)
    async with service.running():
        seen.append(await preloaded())
    assert seen == [health_pb2.HealthCheckResponse.NOT_SERVING, health_pb2.HealthCheckResponse.SERVING]


async def test_drain_ends_the_lines_of_batches(journal: Journal) -> None:
    """They are computed again by the next start, and hold up no stop."""
    service = fake_service(journal, LONG)
    async with service.running():
        await service.drain(lame_duck=0.0)
        assert service.batches.is_stopped  # type: ignore[union-attr]
        assert "batches" not in journal.stopped


@pytest.mark.parametrize("part", PARTS)
async def test_part_that_fails_keeps_no_other_open(
    journal: Journal, part: str, caplog: pytest.LogCaptureFixture
) -> None:
    """All parts are stopped; the failure is logged, and raised at the end."""
    journal.fails_to_stop = (part,)
    with caplog.at_level(logging.ERROR), pytest.raises(OSError, match=f"^{part} does not stop$"):
        async with fake_service(journal, LONG).running():
            pass
    assert tuple(journal.stopped) == PARTS
    assert [record.getMessage() for record in caplog.records] == [f"{part}: could not be stopped"]
    assert "Traceback" in caplog.text


async def test_first_of_several_failures_is_raised(journal: Journal, caplog: pytest.LogCaptureFixture) -> None:
    """Where everything fails, everything is logged."""
    journal.fails_to_stop = PARTS
    with caplog.at_level(logging.ERROR), pytest.raises(OSError, match=r"^batches does not stop$"):
        async with fake_service(journal, LONG).running():
            pass
    assert [record.getMessage() for record in caplog.records] == [f"{part}: could not be stopped" for part in PARTS]


@pytest.mark.parametrize("part", PARTS)
async def test_part_that_hangs_keeps_no_other_open(journal: Journal, part: str) -> None:
    """It is given up after the limit."""
    journal.hangs = part
    with pytest.raises(TimeoutError, match=f"^{part}: not stopped within"):
        async with fake_service(journal, SHORT).running():
            pass
    assert tuple(journal.stopped) == PARTS


@pytest.mark.parametrize(
    ("part", "stopped"),
    [
        ("metrics port", ["metrics port", "stored responses", "spans"]),
        ("gRPC ports", ["gRPC ports", "Envoy", "metrics port", "stored responses", "spans"]),
        ("Envoy", list(PARTS)),
    ],
)
@pytest.mark.parametrize("fails_to_stop", [(), PARTS])
async def test_start_that_fails_stops_what_was_started(
    journal: Journal, part: str, stopped: list[str], fails_to_stop: tuple[str, ...]
) -> None:
    """The part that failed half way too; why the start failed is what is raised, whatever the stop does."""
    journal.fails_to_start, journal.fails_to_stop = part, fails_to_stop
    with pytest.raises(OSError, match=f"^{part} does not start$"):
        async with fake_service(journal, LONG).running():
            pytest.fail("it did not start")
    assert journal.started[-1] == part
    assert journal.stopped == stopped


async def test_log_ends_with_where_to_go(journal: Journal, caplog: pytest.LogCaptureFixture) -> None:
    """Addresses that a person can open, and a command that works; in place of numbers of ports."""
    caplog.set_level(logging.INFO)
    service = fake_service(journal, LONG)
    async with service.running():
        await asyncio.wait(service._tasks)
    assert caplog.messages[-2] == "gRPC: port 50051", "the last line is that of the stop"
    assert "chat page: http://localhost:8091/" in caplog.messages
    assert "REST: http://localhost:8091, OpenAI's API: http://localhost:8091/v1" in caplog.messages
    (command,) = (line.removeprefix("try: ") for line in caplog.messages if line.startswith("try: "))
    assert shlex.split(command)[:3] == ["curl", "localhost:8091/api/chat", "-d"]
    assert json.loads(shlex.split(command)[3])["messages"][0]["content"] == "Hello"


async def test_stop_during_the_load_says_nowhere_to_go(journal: Journal, caplog: pytest.LogCaptureFixture) -> None:
    """The addresses of a service that stops are of no use; nor is a second try."""
    caplog.set_level(logging.INFO)
    service = fake_service(journal, LONG)
    loading, stopping, tried = asyncio.Event(), asyncio.Event(), []

    async def load() -> None:
        tried.append(True)
        loading.set()
        await stopping.wait()
        raise UnavailableError("HUB_UNAVAILABLE", "away", 0.0)

    service.registry.load = load  # type: ignore[attr-defined]
    async with service.running(), asyncio.timeout(20):
        await loading.wait()
        service.admission.close()
        stopping.set()
        await asyncio.wait(service._tasks)
    assert not [line for line in caplog.messages if "8091" in line]
    assert len(tried) == 1


async def test_load_of_the_start_is_tried_again_while_that_may_help(journal: Journal) -> None:
    """Such as while the hub is away: a replica that is out of its balancer gets no request that loads the model."""
    service = fake_service(journal, LONG)
    failures: list[Exception] = [UnavailableError("HUB_UNAVAILABLE", "away", 0.0)] * 3
    loaded, tried = asyncio.Event(), []

    async def load() -> None:
        tried.append(True)
        if failures:
            raise failures.pop()
        loaded.set()

    service.registry.load = load  # type: ignore[attr-defined]
    async with service.running(), asyncio.timeout(20):
        await loaded.wait()
    assert len(tried) == 4


async def test_load_of_the_start_that_cannot_succeed_is_not_tried_again(journal: Journal) -> None:
    """A file that is none will be none in a minute."""
    service = fake_service(journal, LONG)
    tried = []

    async def load() -> None:
        tried.append(True)
        raise ModelFailedError("no model")

    service.registry.load = load  # type: ignore[attr-defined]
    async with service.running(), asyncio.timeout(20):
        while service._tasks:
            await asyncio.wait(service._tasks)
    assert len(tried) == 1


@pytest.fixture
async def signals() -> Signals:
    """Whoever sends one is this process itself; the loop's end takes the handlers away."""
    return Signals()


async def test_second_signal_cuts_the_drain_off(signals: Signals) -> None:
    """It is cancelled, and has ended when the call returns."""
    cancelled = []

    async def drain() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    os.kill(os.getpid(), signal.SIGINT)
    assert await signals.first() is signal.SIGINT
    await signals.unless_second(drain())
    assert cancelled == [True]


async def test_sighup_drains_and_is_never_the_second_signal(signals: Signals) -> None:
    """A terminal that is closed sends it beside others."""
    os.kill(os.getpid(), signal.SIGHUP)
    assert await signals.first() is signal.SIGHUP
    done = []

    async def drain() -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0.05)  # The loop hears of the signal meanwhile.
        done.append(True)

    await signals.unless_second(drain())
    assert done == [True]


async def test_signal_ends_the_start(signals: Signals) -> None:
    """It is not kept for later, nor lost where the start ends at the same time."""
    start: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    os.kill(os.getpid(), signal.SIGTERM)
    assert not await signals.none_before(start)
    assert start.cancelled()
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    done.set_result(None)
    assert await signals.none_before(done)


async def test_drain_that_fails_says_so(signals: Signals) -> None:
    """A failure is no end of the drain like others."""

    async def drain() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await signals.unless_second(drain())


async def test_service_has_failed_batches_freed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Before any call: grpc.aio has the function in whose place it is put from the start."""
    monkeypatch.setattr(cygrpc, "execute_batch", None)
    monkeypatch.setenv("LLM_MODEL_PATH", str(tmp_path))
    build(load_settings(), Observer(), with_envoy=False)
    assert cygrpc.execute_batch is execute_batch


ENGINE = {
    "max_concurrent_requests": ("slots", 3),
    "default_max_tokens": ("default_max_tokens", 77),
    "queue_timeout": ("queue_timeout", 12.5),
    "step_timeout": ("step_timeout", 33.0),
    "context_length": ("context.length", 1234),
    "kv_cache_tokens": ("context.cache_tokens", 5678),
    "gpu_layers": ("gpu.layers", 5),
    "main_gpu": ("gpu.main", 1),
    "split_mode": ("gpu.split_mode", "row"),
    "tensor_split": ("gpu.tensor_split", (1.0, 2.0)),
    "batch_tokens": ("batch_tokens", 256),
    "max_gap": ("max_gap", 9.0),
    "prefix_store": ("prefix_store", 1 << 30),
    "prefix_cache_per_caller": ("scoped_prefixes", True),
    "reproducible": ("reproducible", False),
}
"""Where the engine's configuration has a setting, and a value that is not its default."""


@pytest.mark.parametrize("setting", ENGINE)
def test_setting_reaches_the_engine(setting: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As it was given."""
    monkeypatch.setenv("LLM_MODEL_PATH", str(tmp_path))
    path, value = ENGINE[setting]
    read = attrgetter(path)
    assert read(model_policy(load_settings()).engine) != value
    assert read(model_policy(load_settings(**{setting: value})).engine) == value
