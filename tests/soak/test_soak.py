"""A service under mixed load for a long time: nothing lost, nothing twice, and no memory that grows.

SOAK_SECONDS is how long (60), of which the first tenth warms up. `make soak` runs it; it prints its figures.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import grpc
import httpx
import numpy as np
import pytest

from llm_inference.v1 import inference_pb2
from tests.e2e.grpc_web import frame
from tests.e2e.rapid_reset import start_and_reset
from tests.e2e.service import RunningService, inference, run_service
from tests.faults.baseline import Baseline, Process
from tests.faults.callers import Callers, Target
from tests.faults.conftest import MODEL, VARIABLES

SECONDS = float(os.environ.get("SOAK_SECONDS", "60"))
SLOPE = 10 << 20
"""Bytes an hour that a process may grow by; a run of an hour measures it, a short one only shows it."""
_HOUR = 3600.0
_STORY = {"model": MODEL, "prompt": "Once", "max_tokens": 400, "ignore_eos": True}


def crash(service: RunningService, random: Random) -> None:
    """A client whose process dies: its connection ends in the middle of an answer."""
    with grpc.insecure_channel(service.address) as channel:
        next(inference(channel).GenerateStream(inference_pb2.GenerateRequest(**_STORY)))
        time.sleep(random.uniform(0, 0.3))


def read_slowly(service: RunningService, random: Random) -> None:
    """A client that takes a message now and then."""
    request = inference_pb2.GenerateRequest(**{**_STORY, "max_tokens": 60, "logprobs": True, "top_logprobs": 20})
    with grpc.insecure_channel(service.address) as channel:
        usage = None
        for part in inference(channel).GenerateStream(request):
            time.sleep(random.uniform(0, 0.05))
            usage = part.usage
        assert usage is not None
        assert usage.completion_tokens == 60


def reset(service: RunningService, random: Random) -> None:
    """A client that begins calls and takes them back at once."""
    request = frame(inference_pb2.GenerateRequest(**_STORY))
    start_and_reset(random.choice((service.grpc_port, service.rest_port)), 100, request)


def hang_up(service: RunningService, random: Random) -> None:
    """A client over REST that closes its connection."""
    try:
        httpx.post(f"{service.url}/api/generate", json=_STORY, timeout=random.uniform(0.01, 0.5))
    except httpx.TimeoutException:
        return


@contextmanager
def disturbed(
    service: RunningService, clients: tuple[Callable[[RunningService, Random], None], ...]
) -> Iterator[list[str]]:
    """Has each client at work, over and over, for the block; yields what one of them met that it should not."""
    stop, problems, begun = threading.Event(), list[str](), time.monotonic()

    def work(number: int) -> None:
        random = Random(number)
        while not stop.is_set():
            try:
                clients[number](service, random)
            except BaseException as error:
                if not isinstance(error, grpc.RpcError) or error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                    at = time.monotonic() - begun
                    problems.append(f"{clients[number].__name__} after {at:.0f} s: {error!r}")

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(len(clients))]
    for thread in threads:
        thread.start()
    try:
        yield problems
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_nothing_is_lost_in_a_long_time(tmp_path: Path, model_directory: Path) -> None:
    """Callers of every kind beside clients that crash, read slowly, reset and hang up."""
    with run_service(tmp_path, model_directory, **{**VARIABLES, "LLM_MAX_QUEUED_REQUESTS": "100"}) as service:
        with Callers(Target(service, MODEL)) as callers:
            callers.floor()
        baseline = Baseline.of(service, MODEL)
        samples: dict[int, list[tuple[float, int]]] = {pid: [] for pid in (service.process.pid, *service.children())}
        begun = time.monotonic()
        with (
            Callers(Target(service, MODEL)) as callers,
            disturbed(service, (crash, read_slowly, reset, hang_up)) as problems,
        ):
            while (elapsed := time.monotonic() - begun) < SECONDS:
                if elapsed > SECONDS / 10:
                    for pid, taken in list(samples.items()):
                        try:
                            taken.append((elapsed, Process.of(pid).resident))
                        except FileNotFoundError:  # A helper with limits, which is replaced; a crash is counted.
                            del samples[pid]
                callers.floor(1)
                time.sleep(min(5.0, SECONDS / 50))
        names = {pid: Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode() for pid in samples}
        slopes = {f"{names[pid]} {pid}": _slope(taken) for pid, taken in samples.items()}
        whole = len(callers.outcomes) - len(callers.lost())
        print(f"{SECONDS:.0f} s, {whole} answers, {callers.tokens()} tokens, lost: {dict(callers.ends())}")  # noqa: T201
        print({name: f"{slope / (1 << 20):.1f} MiB/h" for name, slope in slopes.items()})  # noqa: T201
        print(*callers.lost(), *problems, sep="\n")  # noqa: T201 - whole, where an assertion shortens them
        assert callers.lost() == []
        assert problems == []
        assert len(callers.texts()) == 1
        baseline.check()
        if SECONDS >= _HOUR:
            assert max(slopes.values()) < SLOPE, slopes
        assert service.metric("worker_crashes_total") == 0
        assert service.stop(signal.SIGTERM) == 0


def _slope(samples: list[tuple[float, int]]) -> float:
    """Returns the growth by linear regression, in bytes an hour."""
    times, sizes = np.array(samples).T
    return float(np.polyfit(times, sizes, 1)[0] * _HOUR)
