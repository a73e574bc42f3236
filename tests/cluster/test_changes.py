"""What a cluster's changes cost callers: a killed node or head, other settings, more replicas, little memory."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from llm_inference.v1 import inference_pb2
from tests.cluster.local_cluster import LocalCluster, local_cluster, run_on
from tests.e2e.replicas import Front, Load
from tests.e2e.service import RunningService, inference, run_service

pytest.importorskip("ray", reason="needs the extra `cluster`")
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]

CALLERS = 6
BACK = 15.0
"""Seconds in which a lost replica is back, once there is a machine for it."""
TOLD = 10.0
"""Seconds in which callers are told that the head is lost."""


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    with local_cluster() as made:
        yield made


def load(service: RunningService) -> Load:
    return Load(Front(service.rest_port, 0), CALLERS)


def opened(service: RunningService) -> grpc.Channel:
    return grpc.insecure_channel(service.address)


def test_killed_node_costs_what_had_begun_there(cluster: LocalCluster, tmp_path: Path, model_directory: Path) -> None:
    """Six callers over REST, SSE and gRPC; the lost replica is soon back where there is a machine for it."""
    with run_on(cluster, tmp_path, model_directory, LLM_PRELOAD_MODELS="tiny") as service:
        service.wait_for_metric("load_seconds_count", 2)
        both = service.metric("model_memory_bytes")
        with load(service) as callers:
            callers.succeed(30)
            cluster.kill(cluster.nodes.pop())
            service.wait_for_metric("model_memory_bytes", both / 2)
            callers.succeed(30)
            cluster.nodes.append(cluster.add_node())
            added = time.monotonic()
            service.wait_for_metric("model_memory_bytes", both, 2 * BACK)
            back = time.monotonic() - added
            callers.succeed(30)
        lost = callers.failures()
    print(f"a killed node: {len(lost)} of {len(callers.outcomes)} lost, back after {back:.1f} s")
    assert all(outcome.began for outcome in lost), lost
    assert len(lost) <= CALLERS
    assert back <= BACK


def test_lost_head_is_told_with_advice_in_time(cluster: LocalCluster, tmp_path: Path, model_directory: Path) -> None:
    with run_on(cluster, tmp_path, model_directory, LLM_PRELOAD_MODELS="tiny") as service, service.http() as http:
        cluster.kill(cluster.head)
        killed = time.monotonic()
        body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
        while (answer := http.post("/v1/chat/completions", json=body)).status_code == 200:
            assert time.monotonic() - killed < TOLD
            time.sleep(0.1)
        told = time.monotonic() - killed
    print(f"a lost head: told after {told:.1f} s")
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "cluster_lost"
    assert answer.headers["retry-after"] == "10"
    assert told <= TOLD


def test_board_that_says_nothing_costs_nobody_an_answer(
    cluster: LocalCluster, tmp_path: Path, model_directory: Path
) -> None:
    """The head answers: the cluster is not lost."""
    with run_on(cluster, tmp_path, model_directory, LLM_PRELOAD_MODELS="tiny") as service, load(service) as callers:
        (board,) = cluster.boards()
        os.kill(board, signal.SIGSTOP)
        stopped = time.monotonic()
        while time.monotonic() < stopped + TOLD:
            callers.succeed(10)
        os.kill(board, signal.SIGCONT)
        callers.succeed(30)
        assert callers.failures() == []
        assert "the cluster does not answer" not in service.log()


def test_other_settings_replace_replicas_without_a_loss(
    cluster: LocalCluster, tmp_path: Path, model_directory: Path
) -> None:
    """A second server brings them; callers are at the first."""
    with run_on(cluster, tmp_path, model_directory, LLM_PRELOAD_MODELS="tiny") as service, load(service) as callers:
        callers.succeed(30)
        loads = service.metric("load_seconds_count")
        other = {"LLM_PRELOAD_MODELS": "tiny", "LLM_DEFAULT_MAX_TOKENS": "99"}
        with run_on(cluster, tmp_path, model_directory, **other):
            service.wait_for_metric("load_seconds_count", loads + 2, 120)
            callers.succeed(30)
        callers.succeed(30)
        assert callers.failures() == []
    print(f"other settings: 0 of {len(callers.outcomes)} lost")


def test_replicas_are_added_under_load_without_a_loss(
    cluster: LocalCluster, tmp_path: Path, model_directory: Path
) -> None:
    variables = {"LLM_PRELOAD_MODELS": "tiny", "LLM_CLUSTER_REPLICAS": "1-2", "LLM_MAX_CONCURRENT_REQUESTS": "2"}
    with run_on(cluster, tmp_path, model_directory, **variables) as service, load(service) as callers:
        callers.succeed(10)
        assert service.metric("load_seconds_count") == 1
        service.wait_for_metric("load_seconds_count", 2, 200)
        callers.succeed(60)
        assert callers.failures() == []


def test_models_that_fit_on_different_nodes_alone_both_answer(tmp_path: Path, model_directory: Path) -> None:
    """A model and its worker take some 200 MiB; a node has 300."""
    variables = {
        "LLM_ALLOWED_MODELS": "tiny=tiny.gguf,plain=plain.gguf",
        "LLM_MEMORY_BUDGET": "1GiB",
        "LLM_PRELOAD_MODELS": "tiny",
    }
    with local_cluster(nodes=0) as cluster:
        for _ in range(2):
            cluster.add_node(memory=300 << 20)
        variables["LLM_CLUSTER"] = cluster.address
        with run_service(tmp_path, model_directory, **variables) as service, service.http() as http:
            for model in ("tiny", "plain", "tiny"):
                answer = http.post("/api/generate", json={"model": model, "prompt": "Once", "max_tokens": 4})
                assert answer.status_code == 200, answer.text
            states = {each["id"]: each["state"] for each in http.get("/api/llms").json()["models"]}
    assert states == {"tiny": "ACTIVE", "plain": "ACTIVE"}


def test_conversations_find_their_turns_in_the_cache(tmp_path: Path, model_directory: Path) -> None:
    """Twenty, over three replicas that have computed nothing yet: 85 % of later turns' prompts and more.

    Ray tells a server of each new replica for itself, and each moves conversations: the first one loses a turn or two.
    """
    prompt_tokens = cached_tokens = 0
    with local_cluster(nodes=3) as cluster:
        variables = {"LLM_PRELOAD_MODELS": "tiny", "LLM_CLUSTER_REPLICAS": "3"}
        with run_on(cluster, tmp_path, model_directory, **variables) as service, opened(service) as channel:
            service.wait_for_metric("load_seconds_count", 3, 90)
            for number in range(20):
                messages = [inference_pb2.ChatMessage(role="user", content=f"{number} " + "words " * 60)]
                for turn in range(4):
                    request = inference_pb2.ChatRequest(messages=messages, max_tokens=16, ignore_eos=True)
                    answer = inference(channel).Chat(request)
                    if turn:
                        prompt_tokens += answer.usage.prompt_tokens
                        cached_tokens += answer.usage.cached_tokens
                    messages += [answer.message, inference_pb2.ChatMessage(role="user", content="And then?")]
    print(f"cached: {cached_tokens} of {prompt_tokens} prompt tokens")
    assert cached_tokens >= 0.85 * prompt_tokens
