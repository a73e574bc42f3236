"""Workers that die, services that stop, and starts that cannot be."""

import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from llm_inference.v1 import inference_pb2
from tests.e2e.service import (
    COMMAND,
    RunningService,
    clean_environment,
    inference,
    is_alive,
    run_service,
)
from tests.e2e.sse import stream
from tests.fakes.ports import free_port
from tests.fakes.stalled_reader import stalled_reader

ENDLESS = {"prompt": "hello", "max_tokens": 1900, "ignore_eos": True}
LONG = {**ENDLESS, "max_tokens": 1500}
ONE_MODEL = {"LLM_ALLOWED_MODELS": "tiny.gguf"}


def start(before: str = "true", **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs `serve` where it cannot start, after a command of the shell, and returns what it said."""
    environment = {
        **clean_environment(),
        "LLM_GRPC_PORT": str(free_port()),
        "LLM_INFERENCE_PORT": str(free_port()),
        **variables,
    }
    command = ["sh", "-c", f'{before}; exec "$@"', "sh", *COMMAND, "serve"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_killed_worker_costs_its_requests_only(tmp_path: Path, model_directory: Path) -> None:
    """Open calls get UNAVAILABLE at once, over SSE as an event; the next request works; the service lives."""
    with run_service(tmp_path, model_directory, **ONE_MODEL) as service:
        with grpc.insecure_channel(service.address) as channel, service.http() as http:
            call = inference(channel).GenerateStream(inference_pb2.GenerateRequest(**ENDLESS))
            next(call)
            with stream(http, "/api/generate/stream", ENDLESS) as (_, events):
                next(events)
                os.kill(service.worker_pid(), signal.SIGKILL)
                killed_at = time.monotonic()
                with pytest.raises(grpc.RpcError) as caught:
                    list(call)
                rest = list(events)
                seconds = time.monotonic() - killed_at
            answer = http.post("/api/generate", json={**ENDLESS, "max_tokens": 3})
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE  # type: ignore[attr-defined]
        assert list(rest[-1]) == ["error"]
        assert rest[-1]["error"]["code"] == 14
        assert seconds < 10, "it was not the exit that ended them"
        assert answer.status_code == 200
        assert service.metric("worker_crashes_total") == 1
        assert service.process.poll() is None


def test_requests_of_a_killed_worker_are_run_again(tmp_path: Path, model_directory: Path) -> None:
    """Whoever was sent nothing yet, computed or queued, is answered by the next worker, at each crash."""
    slots = {"LLM_MAX_CONCURRENT_REQUESTS": "2", "LLM_MAX_QUEUED_REQUESTS": "40"}
    with run_service(tmp_path, model_directory, **ONE_MODEL, **slots) as service:
        with grpc.insecure_channel(service.address) as channel, service.http() as http:
            for _ in range(2):
                asks = [
                    inference_pb2.GenerateRequest(**{**LONG, "prompt": f"p{index}", "max_tokens": 500})
                    for index in range(6)
                ]
                calls = [inference(channel).Generate.future(ask) for ask in asks]
                service.wait_for_metric("requests_running", 2)
                os.kill(service.worker_pid(), signal.SIGKILL)
                assert [call.result(60).usage.completion_tokens for call in calls] == [500] * 6
            assert http.post("/api/generate", json={**LONG, "max_tokens": 2}).status_code == 200
        assert service.metric("worker_crashes_total") == 2


def test_paused_service_goes_on(tmp_path: Path, model_directory: Path) -> None:
    """A service that is stopped and continued, with its worker and Envoy, takes its pause for nobody's fault."""
    limits = {"LLM_STEP_TIMEOUT": "2", "LLM_QUEUE_TIMEOUT": "20", "LLM_REQUEST_TIMEOUT": "20"}
    slots = {"LLM_MAX_CONCURRENT_REQUESTS": "2", "LLM_MAX_QUEUED_REQUESTS": "40"}
    with run_service(tmp_path, model_directory, **ONE_MODEL, **slots, **limits) as service:
        with grpc.insecure_channel(service.address) as channel:
            ask = inference_pb2.GenerateRequest(**{**LONG, "max_tokens": 400})
            calls = [inference(channel).Generate.future(ask) for _ in range(6)]
            service.wait_for_metric("requests_running", 2)
            everything = [service.process.pid, *service.children()]
            for number, seconds in ((signal.SIGSTOP, 21.0), (signal.SIGCONT, 0.0)):
                for pid in everything:
                    os.kill(pid, number)
                time.sleep(seconds)
            assert [call.result(60).usage.completion_tokens for call in calls] == [400] * 6
        assert service.metric("worker_crashes_total") == 0


@pytest.mark.parametrize("way", ["gRPC", "Envoy"])
def test_readers_that_stop_cost_nobody_else(tmp_path: Path, model_directory: Path, way: str) -> None:
    """As many as there is room for are ended in time, and neither others nor the worker notice."""
    limits = {"LLM_STEP_TIMEOUT": "2", "LLM_WRITE_TIMEOUT": "4", "LLM_MAX_CONCURRENT_REQUESTS": "2"}
    with run_service(tmp_path, model_directory, **ONE_MODEL, **limits, LLM_MAX_QUEUED_REQUESTS="4") as service:
        port = service.grpc_port if way == "gRPC" else service.rest_port
        with stalled_reader(port) as reader, service.http() as http:
            message = inference_pb2.GenerateRequest(prompt="x", max_tokens=5, ignore_eos=True).SerializeToString()
            for _ in range(6):
                reader.start("/llm_inference.v1.InferenceService/GenerateStream", message)
            service.wait_for_metric("completion_tokens_total", 30)
            assert http.post("/api/generate", json={**LONG, "max_tokens": 2}).status_code == 200
            service.wait_for_metric("rpcs_in_flight", 0, 20)
            if way == "gRPC":
                reader.open_windows()
            assert set(reader.statuses()) == {"4" if way == "gRPC" else "reset"}
        assert service.metric("worker_crashes_total") == 0


def test_killed_envoy_is_replaced(tmp_path: Path, model_directory: Path) -> None:
    """REST answers again within seconds, and the log says what was."""
    with run_service(tmp_path, model_directory, **ONE_MODEL) as service:
        (envoy,) = (pid for pid in service.children() if b"bootstrap.json" in Path(f"/proc/{pid}/cmdline").read_bytes())
        os.kill(envoy, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while "Envoy ended with exit code -9" not in service.log() or not is_listening(service.rest_port):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert httpx.post(f"{service.url}/api/generate", json={**LONG, "max_tokens": 2}, timeout=30).status_code == 200


def is_listening(port: int) -> bool:
    """Returns whether somebody accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_request_that_crashes_its_worker_twice_is_refused(tmp_path: Path, model_directory: Path) -> None:
    """A request that was being computed at two crashes is not tried a third time; others are served."""
    with run_service(tmp_path, model_directory, **ONE_MODEL) as service, service.http() as http:
        for _ in range(2):
            with stream(http, "/api/generate/stream", ENDLESS) as (_, events):
                next(event for event in events if "text" in event)
                os.kill(service.worker_pid(), signal.SIGKILL)
                assert "error" in list(events)[-1]
            while http.post("/api/generate", json={"prompt": "x", "max_tokens": 1}).status_code != 200:
                time.sleep(0.1)
        refused = http.post("/api/generate", json=ENDLESS)
        assert refused.status_code == 400
        assert refused.json()["details"][0]["reason"] == "POISON_REQUEST"
        assert http.post("/api/generate", json={**ENDLESS, "prompt": "other", "max_tokens": 3}).status_code == 200


def test_sigterm_lets_streams_end(tmp_path: Path, model_directory: Path) -> None:
    """On SIGTERM health flips, new calls are refused, running streams end whole, and no process is left."""
    with run_service(tmp_path, model_directory, **ONE_MODEL, LLM_LAME_DUCK="0.5") as service:
        with grpc.insecure_channel(service.address) as channel, service.http() as http:
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=""))
            assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
            call = inference(channel).GenerateStream(inference_pb2.GenerateRequest(**LONG))
            next(call)
            with stream(http, "/api/generate/stream", LONG) as (_, events):
                next(events)
                children = service.children()
                service.process.send_signal(signal.SIGTERM)
                assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
                rest = list(events)
            parts = list(call)
            exit_code = service.process.wait(20)
        assert rest[-1]["usage"]["completion_tokens"] == 1500
        assert parts[-1].usage.completion_tokens == 1500
        assert exit_code == 0
        gone_within(5, children)


def test_draining_service_refuses_new_requests(tmp_path: Path, model_directory: Path) -> None:
    """While running requests end, new ones are told to go elsewhere."""
    with run_service(tmp_path, model_directory, **ONE_MODEL) as service:
        with grpc.insecure_channel(service.address) as channel:
            call = inference(channel).GenerateStream(inference_pb2.GenerateRequest(**ENDLESS))
            next(call)
            service.process.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + 10
            code = None
            while code is not grpc.StatusCode.UNAVAILABLE and time.monotonic() < deadline:
                try:
                    inference(channel).Generate(inference_pb2.GenerateRequest(prompt="x", max_tokens=1))
                except grpc.RpcError as error:
                    code = error.code()  # type: ignore[attr-defined]
            assert code is grpc.StatusCode.UNAVAILABLE
            assert service.metric("requests_running") == 1  # It was not the end of the drain.
            call.cancel()
        assert service.process.wait(20) == 0


def test_streams_beyond_the_drain_timeout_are_told_so(tmp_path: Path, model_directory: Path) -> None:
    """A stream that the drain cannot wait for ends with an error event, and the service ends in time."""
    with run_service(tmp_path, model_directory, **ONE_MODEL, LLM_DRAIN_TIMEOUT="0.1") as service:
        with service.http() as http, stream(http, "/api/generate/stream", ENDLESS) as (_, events):
            next(events)
            with service.stopped_worker():
                service.process.send_signal(signal.SIGTERM)
                rest = list(events)
        assert rest[-1]["error"]["code"] == 14
        assert "stopping" in rest[-1]["error"]["message"]
        assert service.process.wait(10) == 0


def test_second_signal_ends_at_once(tmp_path: Path, model_directory: Path) -> None:
    """A person who presses Ctrl-C twice does not wait for streams."""
    with run_service(tmp_path, model_directory, **ONE_MODEL) as service:
        with grpc.insecure_channel(service.address) as channel:
            call = inference(channel).GenerateStream(inference_pb2.GenerateRequest(**ENDLESS))
            next(call)
            children = service.children()
            with service.stopped_worker():
                service.process.send_signal(signal.SIGINT)
                service.wait_for_metric("draining", 1)  # Two signals of a kind that wait together are one.
                service.process.send_signal(signal.SIGINT)
                assert service.process.wait(4) == 0
            with pytest.raises(grpc.RpcError):
                list(call)
        gone_within(5, children)


def test_killed_service_leaves_no_process(tmp_path: Path, model_directory: Path) -> None:
    """When the service itself is killed, its workers and Envoy end too, and its ports are free."""
    with run_service(tmp_path, model_directory, **ONE_MODEL) as service:
        children = service.children()
        assert len(children) >= 2
        service.process.kill()
        service.process.wait(5)
        gone_within(5, children)


def gone_within(seconds: float, children: list[int]) -> None:
    """Returns when none of the processes lives; fails when that takes too long."""
    deadline = time.monotonic() + seconds
    while any(is_alive(pid) for pid in children):
        assert time.monotonic() < deadline, children
        time.sleep(0.02)


def test_hung_worker_is_replaced(tmp_path: Path, model_directory: Path) -> None:
    """A worker that makes no step for too long is killed; what it had not begun is answered by the next."""
    with run_service(tmp_path, model_directory, **ONE_MODEL, LLM_STEP_TIMEOUT="2") as service, service.http() as http:
        # Before it has anything to do: on a busy machine, a step that it makes may take as long as the timeout.
        os.kill(service.worker_pid(), signal.SIGSTOP)
        assert http.post("/api/generate", json={**ENDLESS, "max_tokens": 2}).status_code == 200
        assert "no request was prepared and no text tokenized within 2 s" in service.log()
        assert http.post("/api/generate", json={**ENDLESS, "max_tokens": 2}).status_code == 200


def test_fifty_first_requests_make_one_load(tmp_path: Path, model_directory: Path) -> None:
    """Requests that need a model that is not there share its load."""
    variables = {"LLM_ALLOWED_MODELS": "tiny.gguf,plain.gguf", "LLM_PRELOAD_MODELS": "plain.gguf"}
    with run_service(tmp_path, model_directory, **variables) as service:
        codes: list[int] = []

        def call() -> None:
            body = {"model": "tiny.gguf", "prompt": "x", "max_tokens": 2, "ignore_eos": True}
            codes.append(httpx.post(f"{service.url}/api/generate", json=body, timeout=60).status_code)

        threads = [threading.Thread(target=call) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert codes == [200] * 50
        assert service.metric("load_seconds_count", model="tiny.gguf") == 1


def test_port_in_use_stops_the_start() -> None:
    """A second service on a port does not start, and says which setting to change."""
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for variable in ("LLM_GRPC_PORT", "LLM_INFERENCE_PORT"):
            done = start(**{variable: port})
            assert done.returncode == 2, done.stderr
            assert f"{variable}: 0.0.0.0:{port} cannot be listened on (Address already in use)" in done.stderr
            assert f"{variable}: 0.0.0.0:{port} cannot be listened on" in done.stderr


def test_second_service_on_the_same_ports_does_not_start(service: RunningService) -> None:
    """Two services never share a port's connections."""
    done = start(LLM_GRPC_PORT=str(service.grpc_port), LLM_INFERENCE_HOSTNAME="127.0.0.1")
    assert done.returncode == 2
    assert "LLM_GRPC_PORT" in done.stderr


@pytest.mark.parametrize("port", ["65536", "99999", "-1", "x"])
def test_port_out_of_range_stops_the_start(port: str) -> None:
    """A port that is none is a bad setting."""
    done = start(LLM_GRPC_PORT=port)
    assert done.returncode == 2
    assert "LLM_GRPC_PORT" in done.stderr


@pytest.mark.parametrize(
    ("limit", "said"), [("ulimit -n 16", "the limit of open files is 16"), ("ulimit -f 1", "File too large")]
)
def test_start_that_the_system_refuses_says_so_in_a_line(limit: str, said: str) -> None:
    """Too few open files, or a temporary directory that cannot be written to."""
    # A coverage measurement could not be written either, and would say so.
    done = start(before=f"unset COVERAGE_PROCESS_CONFIG; {limit}")
    assert done.returncode == 2, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("cannot start: ")
    assert said in last
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1"])
def test_host_that_is_none_of_this_machine_stops_the_start(host: str) -> None:
    """No port is to blame: the name is unknown (RFC 2606), or the address is nobody's (RFC 5737)."""
    done = start(LLM_INFERENCE_HOSTNAME=host, LLM_METRICS_PORT=str(free_port()))
    assert done.returncode == 2
    (line,) = (line for line in done.stderr.splitlines() if not line.startswith("{"))
    assert line.startswith(f"cannot start: LLM_INFERENCE_HOSTNAME: {host} ")


def test_settings_file_of_deep_json_is_named(tmp_path: Path) -> None:
    """What Python's parser cannot take is a fault of the file."""
    path = tmp_path / "deep.json"
    path.write_text("[" * 100_000)
    done = start(LLM_CONFIG_FILE=str(path))
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"LLM_CONFIG_FILE: {path} cannot be read: its JSON is nested too deeply"


def test_bad_settings_are_all_named_at_once() -> None:
    """The start stops with exit code 2 and a line for each bad setting."""
    bad: dict[str, Any] = {
        "LLM_DEFAULT_TEMPERATURE": "3",
        "LLM_MAX_CONCURRENT_REQUESTS": "many",
        "LOG_FORMAT": "xml",
        "LLM_ALLOWED_MODELS": "../secret.gguf",
    }
    done = start(**bad)
    assert done.returncode == 2
    assert all(name in done.stderr for name in bad)
    assert "Traceback" not in done.stderr
