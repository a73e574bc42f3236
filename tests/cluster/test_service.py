"""The real service, its models on a real Ray cluster of this machine; `make cluster` runs all of it."""

import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.cluster.local_cluster import LocalCluster, local_cluster, run_on
from tests.e2e.service import RunningService

pytest.importorskip("ray", reason="needs the extra `cluster`")

CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 8, "ignore_eos": True}
LONG = CHAT | {"max_tokens": 2000}


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with local_cluster() as made:
        yield made


@pytest.fixture(scope="module")
def service(
    cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory, model_directory: Path
) -> Iterator[RunningService]:
    allowed = "tiny=tiny.gguf,garbage.gguf"
    variables = {"LLM_ALLOWED_MODELS": allowed, "LLM_PRELOAD_MODELS": "tiny"}
    with run_on(cluster, tmp_path_factory.mktemp("cluster"), model_directory, **variables) as running:
        yield running


def test_replicas_answer(service: RunningService) -> None:
    with service.http() as http:
        answer = http.post("/v1/chat/completions", json=CHAT)
    assert answer.json()["usage"]["completion_tokens"] == 8


def test_refusal_of_a_replica_names_the_field(service: RunningService) -> None:
    """Its error object is the one that a model served here would send."""
    with service.http() as http:
        answer = http.post(
            "/v1/chat/completions", json=CHAT | {"messages": [{"role": "user", "content": "x" * 100_000}]}
        )
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "context_length_exceeded"
    assert answer.json()["error"]["param"] == "messages"


def test_cancelled_streams_free_their_seats(service: RunningService) -> None:
    with service.http() as http:
        for _ in range(8):
            with http.stream("POST", "/api/chat/stream", json=LONG) as stream:
                next(stream.iter_lines())
    service.wait_until_idle(20)


@pytest.mark.cluster
def test_second_server_adopts_the_replicas(
    service: RunningService, cluster: LocalCluster, tmp_path: Path, model_directory: Path
) -> None:
    variables = {"LLM_ALLOWED_MODELS": "tiny=tiny.gguf,garbage.gguf", "LLM_PRELOAD_MODELS": "tiny"}
    with run_on(cluster, tmp_path, model_directory, **variables) as second, second.http() as http:
        assert http.post("/v1/chat/completions", json=CHAT).status_code == 200
        assert second.metric("load_seconds_count") == 0
        assert second.stop() == 0
    with service.http() as http:
        assert http.post("/v1/chat/completions", json=CHAT).status_code == 200


def test_killed_node_costs_those_nothing_who_were_sent_nothing(service: RunningService, cluster: LocalCluster) -> None:
    numbers, answers, stop = count(), list[str](), threading.Event()

    def call() -> None:
        with service.http() as http:
            while not stop.is_set():
                message = {"role": "user", "content": f"Hi {next(numbers)}"}
                answer = http.post("/v1/chat/completions", json=CHAT | {"messages": [message]})
                answers.append("whole" if answer.status_code == 200 else answer.text)

    def until(number: int) -> None:
        while len(answers) < number:
            assert not stop.wait(0.05)

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    try:
        until(50)
        cluster.kill(cluster.nodes.pop())
        until(len(answers) + 100)
    finally:
        stop.set()
        for caller in callers:
            caller.join()
        cluster.nodes.append(cluster.add_node())
    assert set(answers) == {"whole"}


@pytest.mark.cluster
def test_unloaded_model_leaves_the_cluster_and_comes_back(service: RunningService) -> None:
    with service.http() as http:
        assert http.post("/api/llms/tiny:unload").json()["model"]["state"] == "UNLOADED"
        assert http.post("/v1/chat/completions", json=CHAT).status_code == 200


@pytest.mark.cluster
def test_model_that_is_unloaded_on_its_way_in_is_deployed_anew(service: RunningService) -> None:
    """Ray Serve's status says only later that an application is being deleted."""
    with service.http() as http, service.http() as first:
        http.post("/api/llms/tiny:unload")
        caller = threading.Thread(target=lambda: first.post("/v1/chat/completions", json=CHAT))
        caller.start()
        http.post("/api/llms/tiny:unload")
        assert http.post("/v1/chat/completions", json=CHAT).status_code == 200
        caller.join()


@pytest.mark.cluster
def test_model_that_cannot_be_loaded_says_why(service: RunningService) -> None:
    """The reason is the replica's; there has to be room for one."""
    with service.http() as http:
        http.post("/api/llms/tiny:unload")
        answer = http.post("/v1/chat/completions", json=CHAT | {"model": "garbage.gguf"})
        http.post("/api/llms/garbage.gguf:unload")
    assert answer.status_code == 400
    assert "garbage.gguf" in answer.json()["error"]["message"]


@pytest.mark.cluster
def test_service_says_where_no_cluster_is(tmp_path: Path, model_directory: Path) -> None:
    from tests.e2e.service import run_service  # noqa: PLC0415

    nowhere = {"LLM_ALLOWED_MODELS": "tiny=tiny.gguf", "LLM_CLUSTER": "127.0.0.1:1"}
    with run_service(tmp_path, model_directory, wait=False, **nowhere) as service:
        assert service.process.wait(90) != 0
        assert "LLM_CLUSTER" in service.log()
