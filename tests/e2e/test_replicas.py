"""Three replicas behind the front Envoy: one dies, all are replaced, and conversations meet their cache."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.e2e.replicas import ClientLoad, Front, Load, Replica, run_front, run_replicas

pytestmark = pytest.mark.timeout(600)  # Each waits for a load, which a busy machine may slow down several times.

CALLERS = 6
SOME = 12
"""Requests that must succeed in each phase of a fault, or the test says nothing of it: two of each caller."""


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Replica]]:
    with run_replicas(tmp_path_factory.mktemp("replicas"), 3) as running:
        yield running


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory, replicas: list[Replica]) -> Iterator[Front]:
    with run_front(tmp_path_factory.mktemp("front"), replicas) as running:
        yield running


def test_killed_replica_costs_the_streams_that_it_had_begun(front: Front, replicas: list[Replica]) -> None:
    """Requests that had no answer yet are answered by others, later ones never notice, and the replica comes back."""
    with Load(front, CALLERS) as load:
        load.succeed(SOME)
        killed = time.monotonic()
        replicas[0].kill()
        front.wait_for_healthy(2)
        noticed = time.monotonic()
        load.succeed(SOME)
        gone = time.monotonic()
        replicas[0].start()
        replicas[0].wait()
        front.wait_for_healthy(3)
        back = time.monotonic()
        load.succeed(SOME)
    failures = load.failures()
    assert all(failed.began and failed.started < killed for failed in failures), failures
    assert len(failures) < CALLERS
    assert noticed - killed < 5
    assert load.succeeded(gone, back) > 0
    assert replicas[0].metric("generations_total") > 0, "the replica that came back got no requests"


def test_rolling_restart_fails_nothing(front: Front, replicas: list[Replica]) -> None:
    """Each replica says that it stops, ends what it has begun, and is replaced; no caller sees an error.

    Some call the front, by REST and gRPC; clients of their own kind call the front, or the replicas without one.
    """
    directly = "ipv4:" + ",".join(f"127.0.0.1:{replica.port}" for replica in replicas)
    with ExitStack() as stack:
        loads = [Load(front, 3), ClientLoad(front.address, 2), ClientLoad(directly, 2)]
        for load in loads:
            stack.enter_context(load).succeed(SOME // 2)
        for replica in replicas:
            stopping = time.monotonic()
            assert replica.terminate() == 0
            stopped = time.monotonic()
            assert [load.succeeded(stopping, stopped) > 0 for load in loads] == [True] * 3
            replica.start()
            replica.wait()
            front.wait_for_healthy(3)
        for load in loads:
            load.succeed(SOME // 2)
    assert [load.failures() for load in loads] == [[], [], []]


def test_conversations_meet_their_cache(front: Front, replicas: list[Replica], tmp_path: Path) -> None:
    """With affinity a conversation's next turn finds all that it repeats; without, mostly nothing."""
    with_affinity = cached_share(front, "on")
    with run_front(tmp_path, replicas, "--no-affinity") as other:
        without = cached_share(other, "off")
    assert with_affinity > 0.95
    assert without < 0.85


def cached_share(front: Front, name: str) -> float:
    """Returns the part of the previous turns' prompts that came from a cache, over conversations of five turns."""
    cached = repeated = 0
    with httpx.Client(base_url=front.url, timeout=60) as http:
        for number in range(8):
            messages = [{"role": "user", "content": f"Call me {name}{number}. " + "Hello! " * 20}]
            previous = 0
            for _ in range(5):
                answer = http.post("/api/chat", json={"messages": messages, "max_tokens": 12}).json()
                cached += min(answer["usage"]["cached_tokens"], previous)
                repeated += previous
                previous = answer["usage"]["prompt_tokens"]
                messages += [answer["message"], {"role": "user", "content": "Tell me more."}]
    return cached / repeated
