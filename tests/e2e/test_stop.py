"""The end of a service: by signals that reach all its processes, and where its parts do not stop as they should."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from llm_inference.v1 import models_pb2
from tests.e2e import service as launcher
from tests.e2e.secured import wait_until
from tests.e2e.service import RunningService, is_alive, models, run_service
from tests.e2e.sse import stream
from tests.fakes.gguf import write_tiny_model

ONE_MODEL = {"LLM_ALLOWED_MODELS": "tiny.gguf"}
TWO_MODELS = {"LLM_ALLOWED_MODELS": "tiny.gguf,odd.gguf", "LLM_PRELOAD_MODELS": "tiny.gguf"}
LONG = {"prompt": "hello", "max_tokens": 1500, "ignore_eos": True}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signal_to_all_processes_lets_streams_end(tmp_path: Path, model_directory: Path, number: int) -> None:
    """As systemd sends it, or a terminal that is closed: the worker and Envoy are needed until the drain is over."""
    with run_service(tmp_path, model_directory, **ONE_MODEL) as service:
        children = service.children()
        with service.http() as http, stream(http, "/api/generate/stream", LONG) as (_, events):
            next(events)
            for pid in (service.process.pid, *children):
                os.kill(pid, number)
            rest = list(events)
        assert rest[-1]["usage"]["completion_tokens"] == 1500
        assert service.process.wait(30) == 0
        assert "draining" in service.log()
        wait_until(lambda: not any(map(is_alive, children)))


def test_ctrl_c_in_a_terminal_lets_streams_end(tmp_path: Path, model_directory: Path) -> None:
    """It reaches the process group, in which Envoy is not."""
    with run_service(tmp_path, model_directory, **ONE_MODEL) as service:
        group = [pid for pid in service.children() if os.getpgid(pid) == os.getpgid(service.process.pid)]
        with service.http() as http, stream(http, "/api/generate/stream", LONG) as (_, events):
            next(events)
            for pid in (service.process.pid, *group):
                os.kill(pid, signal.SIGINT)
            rest = list(events)
        assert rest[-1]["usage"]["completion_tokens"] == 1500
        assert service.process.wait(30) == 0


def test_ctrl_c_says_what_it_waits_for_and_a_second_one_ends_that(tmp_path: Path, model_directory: Path) -> None:
    """The stream's caller is told why it ends."""
    with run_service(tmp_path, model_directory, **ONE_MODEL) as service:
        with service.http() as http, stream(http, "/api/generate/stream", LONG) as (_, events):
            next(events)
            with service.stopped_worker():
                service.process.send_signal(signal.SIGINT)
                wait_until(lambda: "waiting for 1 request, at most 300 s; Ctrl-C again ends at once" in service.log())
                service.process.send_signal(signal.SIGINT)
                rest = list(events)
        assert rest[-1]["error"]["message"] == "the service is stopping"
        assert service.process.wait(30) == 0


def test_stop_of_an_idle_service_waits_for_nothing(tmp_path: Path, model_directory: Path) -> None:
    """And says nothing of that kind."""
    with run_service(tmp_path, model_directory, **ONE_MODEL) as service:
        assert service.stop() == 0
        assert "waiting for" not in service.log()


def test_sighup_after_sigterm_does_not_cut_the_drain_off(tmp_path: Path, model_directory: Path) -> None:
    """systemd can be told to send both (SendSIGHUP)."""
    with run_service(tmp_path, model_directory, **ONE_MODEL) as service:
        with service.http() as http, stream(http, "/api/generate/stream", LONG) as (_, events):
            next(events)
            with service.stopped_worker():
                service.process.send_signal(signal.SIGTERM)
                service.wait_for_metric("draining", 1)
                service.process.send_signal(signal.SIGHUP)
            rest = list(events)
        assert rest[-1]["usage"]["completion_tokens"] == 1500
        assert service.process.wait(30) == 0


def test_watch_of_a_model_does_not_hold_up_the_drain(tmp_path: Path, model_directory: Path) -> None:
    """It would never end by itself, and is told why it ends."""
    with (
        run_service(tmp_path, model_directory, **ONE_MODEL) as service,
        grpc.insecure_channel(service.address) as channel,
    ):
        watch = models(channel).WatchModel(models_pb2.WatchModelRequest(model="tiny.gguf"))
        next(watch)
        assert service.stop() == 0
        with pytest.raises(grpc.RpcError, match="the service is stopping"):
            list(watch)
        assert "LLM_DRAIN_TIMEOUT" not in service.log()


def test_nohup_keeps_the_service_running(
    tmp_path: Path, model_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A SIGHUP that was ignored before the start stays so."""
    monkeypatch.setattr(launcher, "COMMAND", ("nohup", *launcher.COMMAND))
    with run_service(tmp_path, model_directory, **ONE_MODEL) as service:
        service.process.send_signal(signal.SIGHUP)
        assert httpx.post(f"{service.url}/api/generate", json={"prompt": "x", "max_tokens": 1}).status_code == 200
        assert "draining" not in service.log()


def test_second_signal_while_a_model_loads_tells_its_callers_why(tmp_path: Path) -> None:
    """In the service's words, not in gRPC's."""
    endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    write_tiny_model(tmp_path / "tiny.gguf", template=endless)
    answers: list[Any] = []
    with run_service(tmp_path, tmp_path, wait=False, **ONE_MODEL, LLM_LAME_DUCK="600") as service:

        def call() -> None:
            answers.append(httpx.post(f"{service.url}/api/generate", json={"prompt": "x"}, timeout=60).json())

        wait_until(lambda: '"serving"' in service.log())
        caller = threading.Thread(target=call)
        caller.start()
        service.wait_for_metric("rpcs_in_flight", 1)
        service.process.send_signal(signal.SIGTERM)
        service.wait_for_metric("draining", 1)
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(30) == 0
        caller.join()
    assert answers[0]["message"] == "the service is stopping"


def test_signal_during_the_start_ends_it(
    tmp_path: Path, model_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for an Envoy that takes long to listen."""
    program = SERVER_THAT_STARTS_SLOWLY
    monkeypatch.setattr(launcher, "COMMAND", (sys.executable, "-c", program))
    with run_service(tmp_path, model_directory, wait=False, **ONE_MODEL) as service:
        wait_until(lambda: "Envoy is starting" in service.log())
        assert service.stop() == 0
        assert "serving" not in service.log()


SERVER_THAT_STARTS_SLOWLY = """
import asyncio
from llm_inference_api.envoy import EnvoyProcess

async def start(envoy, certificates):
    print("Envoy is starting", flush=True)
    await asyncio.Event().wait()

EnvoyProcess.start = start

from llm_inference_api.cli.main import main
main()
"""
"""The command line, with an Envoy that never listens."""

STALLED = """
import threading
from llm_inference_api.models import served_model
from llm_inference_api.cli import main

def estimate(*_arguments, **_options):
    print("reading", flush=True)
    {wait}

served_model.estimate = estimate
main._EXIT_LIMIT = 1.0
main.main()
"""
"""The command line, with model files on a disk that does not answer."""


def stalled(wait: str) -> tuple[str, ...]:
    return (sys.executable, "-c", STALLED.format(wait=wait))


STUCK = "threading.Thread(target=threading.Event().wait, name='stuck', daemon=False).start()"


@pytest.mark.parametrize("wait", ["threading.Event().wait()", STUCK])
def test_disk_that_does_not_answer_does_not_hold_up_the_exit(
    tmp_path: Path, model_directory: Path, monkeypatch: pytest.MonkeyPatch, wait: str
) -> None:
    """Neither where the service reads a header nor where a library's thread waits, which Python joins at its exit."""
    monkeypatch.setattr(launcher, "COMMAND", stalled(wait))
    with run_service(tmp_path, model_directory, wait=False, **ONE_MODEL) as service:
        wait_until(lambda: "reading" in service.log() and '"serving"' in service.log())
        assert service.stop() == 0
        log = service.log()
    assert '"stopped"' in log
    assert ("the exit is held up; threads: MainThread, stuck" in log) == ("stuck" in wait)


@pytest.mark.parametrize("kind", ["fifo", "loop", "socket"])
def test_file_that_is_none_fails_its_model_only(tmp_path: Path, model_directory: Path, kind: str) -> None:
    """Nothing waits for a FIFO's writer; the service serves on and ends."""
    write_tiny_model(tmp_path / "tiny.gguf")
    path = tmp_path / "odd.gguf"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path.name)
    else:
        subprocess.run([sys.executable, "-c", BIND, str(path)], check=True)
    with run_service(tmp_path, tmp_path, **TWO_MODELS) as service:
        refused = ask(service, "odd.gguf")
        assert (refused.status_code, refused.json()["details"][0]["reason"]) == (400, "MODEL_FAILED")
        assert "odd.gguf below LLM_MODEL_PATH" in refused.json()["message"]
        assert ask(service, "tiny.gguf").status_code == 200
        assert service.stop() == 0
        assert "Traceback" not in service.log()


BIND = "import os, socket, sys; os.chdir(os.path.dirname(sys.argv[1])); socket.socket(socket.AF_UNIX).bind('odd.gguf')"


def ask(service: RunningService, model: str) -> httpx.Response:
    """Returns the answer to a short request."""
    return httpx.post(f"{service.url}/api/generate", json={"model": model, "prompt": "x", "max_tokens": 1}, timeout=30)


SERVER = """
import dataclasses, threading
from llm_inference_api import server
from llm_inference_api.envoy import EnvoyProcess
from llm_inference_api.observability.spans import Spans

build, stop_envoy = server.build, EnvoyProcess.stop

async def fail(envoy):
    await stop_envoy(envoy)
    raise RuntimeError("Envoy fell over")

EnvoyProcess.stop = fail
Spans.close = lambda spans: threading.Event().wait()
server.build = lambda *args, **options: dataclasses.replace(build(*args, **options), stop_limit=1.0)

from llm_inference_api.cli.main import main
main()
"""
"""The command line, with an Envoy that fails at its stop, and spans that nobody ever takes."""


def test_stop_ends_whatever_its_parts_do(
    tmp_path: Path, model_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One part fails and another blocks its thread for good: all processes end, and the exit code tells."""
    monkeypatch.setattr(launcher, "COMMAND", (sys.executable, "-c", SERVER))
    variables = {"LLM_ALLOWED_MODELS": "tiny=tiny.gguf", "LLM_PRELOAD_MODELS": "tiny", "LLM_THREADS": "1"}
    with run_service(tmp_path, model_directory, **variables) as running:
        children = running.children()
        assert len(children) >= 2, "a worker and an Envoy"
        assert running.stop() == 1
        wait_until(lambda: not any(map(is_alive, children)))  # Their pipes' ends are all that ends some of them.
        log = running.log()
    assert "Envoy: could not be stopped" in log
    assert "spans: could not be stopped" in log
    assert log.rstrip().endswith("RuntimeError: Envoy fell over")
