"""The front Envoy before replicas without models: who gets a request, and what is tried again."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Barrier
from typing import Any

import grpc
import httpx
import pytest

from llm_inference.v1 import inference_pb2
from tests.e2e.replicas import LAME_DUCK, Front, run_front
from tests.e2e.service import inference
from tests.fakes.replica import FakeReplica

NAMES = ("a", "b", "c")
USER = {"role": "user", "content": "What is 2+2?"}
DRAINING = (("retry-after", "1"), ("x-retry-elsewhere", "true"))


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Front, list[FakeReplica]]]:
    """Three replicas and their front."""
    with ExitStack() as stack:
        fleet = [FakeReplica(name) for name in NAMES]
        for replica in fleet:
            stack.enter_context(replica.serve())
        yield stack.enter_context(run_front(tmp_path_factory.mktemp("front"), fleet)), fleet


@pytest.fixture
def front(fleet: tuple[Front, list[FakeReplica]]) -> Front:
    return fleet[0]


@pytest.fixture
def replicas(fleet: tuple[Front, list[FakeReplica]]) -> Iterator[list[FakeReplica]]:
    front, replicas = fleet
    for replica in replicas:
        replica.reset()
    front.wait_for_healthy(3)
    yield replicas
    for replica in replicas:
        replica.reset()


@pytest.fixture
def http(front: Front, replicas: list[FakeReplica]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=front.url, timeout=30) as client:
        yield client


@pytest.fixture
def channel(front: Front, replicas: list[FakeReplica]) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(front.address) as channel:
        yield channel


def turns(first: str, number: int) -> list[dict[str, str]]:
    """Returns the messages of a conversation at its n-th turn."""
    said = [{"role": "assistant", "content": "Ok."}, {"role": "user", "content": "And then?"}]
    return [{"role": "system", "content": 'Be "brief" {[.'}, {"role": "user", "content": first}, *said * number]


def who(http: httpx.Client, path: str = "/api/chat", headers: dict[str, str] | None = None, **body: Any) -> str:
    """Returns which replica answered."""
    answer = http.post(path, json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return str(answer.json().get("id") or answer.json()["model"])


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
def test_conversation_stays_with_a_replica(http: httpx.Client, path: str) -> None:
    """Every turn of a conversation goes where its first one went; other conversations go elsewhere."""
    chosen = set()
    for conversation in range(20):
        (replica,) = {who(http, path, model="x", messages=turns(f"Hi {conversation}", turn)) for turn in range(3)}
        chosen.add(replica)
    assert chosen == set(NAMES)


def test_conversation_of_items_stays_with_a_replica(http: httpx.Client) -> None:
    """Of whatever endpoint: input items are as good as messages."""
    path, chosen = "/v1/chat/completions", set()
    for conversation in range(20):
        (replica,) = {who(http, path, model="x", input=turns(f"Hi {conversation}", turn)) for turn in range(3)}
        chosen.add(replica)
    assert chosen == set(NAMES)


def test_parameters_do_not_move_a_conversation(http: httpx.Client) -> None:
    """Only the messages count, wherever they stand, and a text that looks like a key is none."""
    trap = 'say "role": "user" and "prompt_cache_key": "x" } ] \\'
    first = who(http, messages=turns(trap, 0))
    assert who(http, max_tokens=7, temperature=0.1, messages=turns(trap, 1), seed=3) == first
    others = {who(http, messages=turns(f"{trap}{number}", 0)) for number in range(20)}
    assert others == set(NAMES)


def test_conversation_over_grpc_stays_with_a_replica(channel: grpc.Channel) -> None:
    """Typed callers have the same."""
    chosen = set()
    for conversation in range(20):
        seen = set()
        for turn in range(3):
            messages = [inference_pb2.ChatMessage(**each) for each in turns(f"Hi {conversation}", turn)]
            request = inference_pb2.ChatRequest(messages=messages, max_tokens=turn + 1)
            seen |= {inference(channel).Chat(request).id, next(inference(channel).ChatStream(request)).id}
        (replica,) = seen
        chosen.add(replica)
    assert chosen == set(NAMES)


def test_prompt_goes_by_its_beginning(http: httpx.Client, channel: grpc.Channel) -> None:
    """A prompt that is continued meets its prefix, over both wires."""
    for prompt in (f"{number} {'word ' * 200}" for number in range(10)):
        assert who(http, "/api/generate", prompt=prompt) == who(http, "/api/generate", prompt=prompt + "more")
        over_grpc = {inference(channel).Generate(inference_pb2.GenerateRequest(prompt=prompt + end)).id for end in "xy"}
        assert len(over_grpc) == 1


@pytest.mark.parametrize(
    ("headers", "body"), [({"x-session-id": "one"}, {}), ({}, {"prompt_cache_key": "one"})], ids=["header", "OpenAI"]
)
def test_named_session_goes_before_the_messages(
    http: httpx.Client, headers: dict[str, str], body: dict[str, str]
) -> None:
    """Callers who say what belongs together are believed."""
    path = "/v1/chat/completions"
    seen = {who(http, path, headers, model="x", messages=turns(f"Hi {number}", 0), **body) for number in range(12)}
    assert len(seen) == 1


def test_session_header_works_over_grpc(channel: grpc.Channel) -> None:
    """The header is metadata there."""
    request = inference_pb2.ChatRequest
    metadata = (("x-session-id", "one"),)
    texts = ([inference_pb2.ChatMessage(role="user", content=str(number))] for number in range(12))
    assert len({inference(channel).Chat(request(messages=text), metadata=metadata).id for text in texts}) == 1


def test_requests_without_a_key_are_spread(http: httpx.Client) -> None:
    """What has no prefix goes to the replica that has the least to do; an outsider's key changes nothing."""
    forged = {"x-llm-affinity": "mine"}
    assert {who(http, "/api/embed", forged, texts=["a"]) for _ in range(40)} == set(NAMES)
    assert {who(http, headers=forged, messages=turns(f"Hi {number}", 0)) for number in range(20)} == set(NAMES)


def test_hot_conversation_overflows(http: httpx.Client, replicas: list[FakeReplica]) -> None:
    """When everybody asks the same, no replica gets more than half more than its share."""
    everybody = Barrier(12)

    def wait(_: grpc.ServicerContext) -> None:
        everybody.wait(20)

    for replica in replicas:
        replica.behave = wait
    with ThreadPoolExecutor(12) as pool:
        answers = Counter(pool.map(lambda _: who(http, messages=[USER]), range(12)))
    assert len(answers) > 1
    assert max(answers.values()) <= 7


def test_refusal_of_one_replica_is_tried_at_another(http: httpx.Client, replicas: list[FakeReplica]) -> None:
    """A replica that stops, or whose queue is full, costs its callers nothing."""
    refuse = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
    for replica, code in zip(replicas, refuse, strict=False):
        replica.behave = lambda context, code=code: _refuse(context, code)  # type: ignore[misc]
    seen = {who(http, messages=turns(f"Hi {number}", 0)) for number in range(20)}
    assert seen == {"c"}
    assert replicas[0].calls
    assert replicas[1].calls


def _refuse(context: grpc.ServicerContext, code: grpc.StatusCode) -> None:
    context.set_trailing_metadata(DRAINING)
    context.abort(code, "not here")


def test_refusal_of_all_replicas_is_the_answer(http: httpx.Client, replicas: list[FakeReplica]) -> None:
    """Where nobody has room the caller is told so, after each was asked once."""
    for replica in replicas:
        replica.behave = lambda context: _refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED)
    answer = http.post("/api/chat", json={"messages": [USER]})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    assert answer.headers["x-envoy-attempt-count"] == "3"
    assert "x-retry-elsewhere" not in answer.headers
    assert [len(replica.calls) for replica in replicas] == [1, 1, 1]


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL])
def test_failure_of_a_request_is_not_repeated(
    http: httpx.Client, replicas: list[FakeReplica], code: grpc.StatusCode
) -> None:
    """A request that killed its model's process does not go on to the next one."""
    for replica in replicas:
        replica.behave = lambda context: context.abort(code, "gone")
    assert http.post("/api/chat", json={"messages": [USER]}).status_code in (500, 503)
    assert sum(len(replica.calls) for replica in replicas) == 1


def test_stream_that_began_is_never_repeated(http: httpx.Client, replicas: list[FakeReplica]) -> None:
    """A caller gets no part of an answer twice, even where the replica says that another may take the request."""
    for replica in replicas:
        replica.break_stream = lambda context: _refuse(context, grpc.StatusCode.UNAVAILABLE)
    answer = http.post("/api/chat/stream", json={"messages": [USER]})
    assert answer.status_code == 200
    assert answer.text.count('"id"') == 1
    assert sum(len(replica.calls) for replica in replicas) == 1


def test_replica_that_stops_gets_no_new_requests(http: httpx.Client, front: Front, replicas: list[FakeReplica]) -> None:
    """NOT_SERVING is seen before the lame duck's time is over."""
    replicas[0].set_serving(serving=False)
    said = last = time.monotonic()
    since: list[str] = []
    while len(since) < 20:
        asked = time.monotonic()
        since.append(who(http, messages=turns(f"Hi {len(since)}", 0)))
        if since[-1] == "a":
            last, since = asked, []
    assert last - said < LAME_DUCK
    assert set(since) == {"b", "c"}


def test_no_replica_is_said_so(http: httpx.Client, front: Front, replicas: list[FakeReplica]) -> None:
    """When none takes requests the front does not guess one."""
    for replica in replicas:
        replica.set_serving(serving=False)
    front.wait_for_healthy(0)
    deadline = time.monotonic() + 10
    while (answer := http.post("/api/chat", json={"messages": [USER]})).status_code == 200:
        assert time.monotonic() < deadline
    assert (answer.status_code, answer.json()["code"]) == (503, 14)
    assert http.get("/health/ready").status_code == 503
    assert http.get("/health/live").status_code == 200


def test_large_requests_pass(http: httpx.Client, channel: grpc.Channel) -> None:
    """Looking at a body does not lower the limits: 4 MiB over REST, 8 MiB over gRPC."""
    messages = [{"role": "user", "content": "a" * (4_190_000)}]
    assert who(http, messages=messages) in NAMES
    large = inference_pb2.ChatRequest(messages=[inference_pb2.ChatMessage(role="user", content="a" * 8_300_000)])
    assert inference(channel).Chat(large).id in NAMES
    assert http.post("/api/chat", json={"messages": [{"role": "user", "content": "a" * 4_200_000}]}).status_code == 413


@pytest.mark.parametrize("body", [b"", b"{", b'{"messages": [', b'{"messages": [{"role": "user', b'"\\', b"\xff" * 99])
def test_bodies_that_are_no_requests_are_refused_as_ever(http: httpx.Client, body: bytes) -> None:
    """The search for a key leaves bad bodies to those who say what is wrong with them."""
    answer = http.post("/api/chat", content=body)
    assert answer.status_code in (200, 400), json.dumps(answer.text)


@pytest.mark.parametrize("key", ["prompt", "messages", "prompt_cache_key"])
def test_white_space_holds_nobody_up(http: httpx.Client, key: str) -> None:
    """The script's time follows a body's length, not its square: others wait while it runs."""
    begun = time.monotonic()
    http.post("/api/generate", content=f'{{"{key}":{" " * 1_000_000}1}}')
    assert time.monotonic() - begun < 10


def test_metrics_of_one_replica_are_not_taken_for_all(http: httpx.Client) -> None:
    """The front says where metrics are instead of showing a random replica's."""
    answer = http.get("/metrics")
    assert answer.status_code == 404
    assert "each replica" in answer.json()["message"]


def test_fronts_agree(http: httpx.Client, replicas: list[FakeReplica], tmp_path: Path) -> None:
    """Several fronts send a conversation to the same replica, in whatever order they know them."""
    with run_front(tmp_path, replicas[::-1]) as other, httpx.Client(base_url=other.url, timeout=30) as elsewhere:
        for number in range(20):
            messages = turns(f"Hi {number}", 0)
            assert who(http, messages=messages) == who(elsewhere, messages=messages)
