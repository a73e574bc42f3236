"""Callers of every kind who ask without a pause, and what each of their calls came to."""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Self

import grpc
import httpx

from llm_inference.v1 import inference_pb2, inference_pb2_grpc
from tests.e2e.service import RunningService

TOKENS = 24
"""Of each answer."""
PATIENCE = 120.0
"""Seconds that a caller waits for one answer, or a test for the load that it asks for."""


@dataclass
class Outcome:
    """How one call ended."""

    kind: str
    started: float
    """Of `time.monotonic`, as is `ended`."""
    ended: float = 0.0
    code: str = ""
    """OK, or the name of the gRPC status, or `HTTP 503`, or `broken` where the connection ended."""
    advised: bool = False
    """Whether a refusal said when to come back."""
    tokens: int = 0
    """Counted by the caller, by its log probabilities."""
    usage: int | None = None
    """Completion tokens that the service said; None where it said none."""
    text: str = ""
    problem: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether the answer came, with all that belongs to it and nothing twice."""
        return self.code == "OK" and self.tokens == self.usage == TOKENS and self.text != ""


@dataclass
class Target:
    """Where callers ask, and what."""

    service: RunningService
    model: str
    key: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """The headers of each call."""
        return {"authorization": f"Bearer {self.key}"} if self.key else {}


Kind = Callable[["Asking", Outcome], Awaitable[None]]


@dataclass
class Asking:
    """What one caller's calls share."""

    target: Target
    http: httpx.AsyncClient
    channel: grpc.aio.Channel
    through_envoy: grpc.aio.Channel

    def body(self) -> dict[str, Any]:
        """Returns the request; its answer is the same each time."""
        sampling = {"temperature": 0, "max_tokens": TOKENS, "ignore_eos": True, "logprobs": True}
        return {"model": self.target.model, "messages": [{"role": "user", "content": "Tell me a story."}], **sampling}

    def request(self) -> inference_pb2.ChatRequest:
        """Returns the same request for gRPC."""
        body = self.body()
        body["messages"] = [inference_pb2.ChatMessage(**message) for message in body["messages"]]
        return inference_pb2.ChatRequest(**body)


async def grpc_whole(asking: Asking, outcome: Outcome) -> None:
    """Chat, straight to the service."""
    answer = await _stub(asking.channel).Chat(asking.request(), timeout=PATIENCE, metadata=_metadata(asking))
    _take(outcome, answer.message.content, answer.logprobs.tokens, answer.usage.completion_tokens)


async def grpc_stream(asking: Asking, outcome: Outcome, channel: grpc.aio.Channel | None = None) -> None:
    """ChatStream, straight to the service."""
    call = _stub(channel or asking.channel).ChatStream(asking.request(), timeout=PATIENCE, metadata=_metadata(asking))
    async for part in call:
        if part.WhichOneof("event") == "error":
            continue  # The call's status is the same.
        usage = part.usage.completion_tokens if part.HasField("usage") else None
        _take(outcome, part.delta.content, part.logprobs.tokens, usage)


async def grpc_stream_through_envoy(asking: Asking, outcome: Outcome) -> None:
    """ChatStream, through Envoy."""
    await grpc_stream(asking, outcome, asking.through_envoy)


async def rest_whole(asking: Asking, outcome: Outcome) -> None:
    """POST /api/chat."""
    answer = await asking.http.post("/api/chat", json=asking.body())
    found = _checked(outcome, answer)
    outcome.text = found["message"]["content"]
    outcome.tokens, outcome.usage = len(found["logprobs"]["tokens"]), found["usage"]["completion_tokens"]


async def sse(asking: Asking, outcome: Outcome) -> None:
    """POST /api/chat/stream."""
    async with asking.http.stream("POST", "/api/chat/stream", json=asking.body()) as answer:
        if answer.status_code != 200:
            await answer.aread()
            _checked(outcome, answer)
        async for event in _events(answer):
            if "error" in event:
                raise _FailedError(str(event["error"]["code"]), event["error"]["message"])
            tokens = event.get("logprobs", {}).get("tokens", [])
            outcome.text += event.get("delta", {}).get("content", "")
            outcome.tokens += len(tokens)
            outcome.usage = event["usage"]["completion_tokens"] if "usage" in event else outcome.usage
    if outcome.usage is None:
        raise _BrokenError("the stream ended without its last event")


async def openai_whole(asking: Asking, outcome: Outcome) -> None:
    """POST /v1/chat/completions."""
    found = _checked(outcome, await asking.http.post("/v1/chat/completions", json=asking.body()))
    (choice,) = found["choices"]
    outcome.text = choice["message"]["content"]
    outcome.tokens, outcome.usage = len(choice["logprobs"]["content"]), found["usage"]["completion_tokens"]


async def openai_stream(asking: Asking, outcome: Outcome) -> None:
    """POST /v1/chat/completions with `stream`."""
    body = {**asking.body(), "stream": True, "stream_options": {"include_usage": True}}
    done = False
    async with asking.http.stream("POST", "/v1/chat/completions", json=body) as answer:
        if answer.status_code != 200:
            await answer.aread()
            _checked(outcome, answer)
        async for line in answer.aiter_lines():
            if not line or line.startswith(":"):  # A comment, which a stream has while it is silent.
                continue
            if line == "data: [DONE]":
                done = True
                continue
            event = json.loads(line.removeprefix("data: "))
            if "error" in event:
                raise _FailedError(str(event["error"]["code"]), event["error"]["message"])
            for choice in event["choices"]:
                outcome.text += choice["delta"].get("content") or ""
                outcome.tokens += len((choice.get("logprobs") or {}).get("content") or [])
            outcome.usage = event["usage"]["completion_tokens"] if event.get("usage") else outcome.usage
    if not done:
        raise _BrokenError("the stream ended without [DONE]")


KINDS: dict[str, Kind] = {
    kind.__name__: kind
    for kind in (grpc_whole, grpc_stream, grpc_stream_through_envoy, rest_whole, sse, openai_whole, openai_stream)
}


class _FailedError(Exception):
    """A stream's last message was an error."""


class _BrokenError(Exception):
    """A connection ended before its answer did."""


class Callers:
    """Callers of each kind, in a thread of their own, from the beginning of the block to its end."""

    def __init__(self, target: Target, each: int = 1, kinds: tuple[str, ...] = tuple(KINDS)) -> None:
        self._target = target
        self._each = each
        self._kinds = kinds
        self.outcomes: list[Outcome] = []
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(2 * PATIENCE)
        assert not self._thread.is_alive(), "callers wait for ever"

    def floor(self, each: int = 2) -> None:
        """Returns when callers of every kind have had so many more whole answers; fails where one kind has not."""
        before = self._whole()
        with self._changed:
            enough = self._changed.wait_for(
                lambda: all(self._whole()[kind] >= before[kind] + each for kind in self._kinds), PATIENCE
            )
        assert enough, f"the load is not kept up: {dict(self._whole() - before)}; {self.ends()}"

    def ends(self) -> Counter[tuple[str, str]]:
        """Returns how often calls ended otherwise than whole, by code and problem."""
        return Counter((each.code, each.problem[:120]) for each in self.outcomes if not each.is_whole)

    def lost(self) -> list[Outcome]:
        """Returns the calls that did not get a whole answer."""
        return [each for each in self.outcomes if not each.is_whole]

    def texts(self) -> set[str]:
        """Returns the different whole answers."""
        return {each.text for each in self.outcomes if each.is_whole}

    def tokens(self) -> int:
        """Returns the tokens that the callers counted, in broken answers too."""
        return sum(each.tokens for each in self.outcomes)

    def _whole(self) -> Counter[str]:
        return Counter(each.kind for each in self.outcomes if each.is_whole)

    async def _run(self) -> None:
        await asyncio.gather(*(self._caller(kind) for kind in self._kinds for _ in range(self._each)))

    async def _caller(self, kind: str) -> None:
        service = self._target.service
        async with (
            httpx.AsyncClient(base_url=service.url, timeout=PATIENCE, headers=self._target.headers) as http,
            grpc.aio.insecure_channel(service.address, _RECONNECT) as channel,
            grpc.aio.insecure_channel(service.through_envoy, _RECONNECT) as through_envoy,
        ):
            asking = Asking(self._target, http, channel, through_envoy)
            while not self._stop.is_set():
                outcome = Outcome(kind, time.monotonic())
                await _ask(KINDS[kind], asking, outcome)
                with self._changed:
                    self.outcomes.append(outcome)
                    self._changed.notify_all()
                if not outcome.is_whole:
                    await asyncio.sleep(0.05)  # As the advice of a refusal has it, but sooner.


# Not `grpc.min_reconnect_backoff_ms`: in spite of its name it is the time that an attempt to connect has, and Envoy's
# first frame may take longer than a moment on a busy machine.
_RECONNECT = (("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200))


async def _ask(kind: Kind, asking: Asking, outcome: Outcome) -> None:
    outcome.code = "OK"
    try:
        await kind(asking, outcome)
    except grpc.aio.AioRpcError as error:
        outcome.code, outcome.problem = error.code().name, error.details() or ""
        outcome.advised = any(key == "grpc-status-details-bin" for key, _ in error.trailing_metadata() or ())
    except _FailedError as error:
        outcome.code, outcome.problem = str(error.args[0]), error.args[1]
    except (httpx.HTTPError, ValueError, _BrokenError) as error:
        outcome.code, outcome.problem = "broken", repr(error)
    outcome.ended = time.monotonic()


def _take(outcome: Outcome, text: str, tokens: Any, usage: int | None) -> None:
    outcome.text += text
    outcome.tokens += len(tokens)
    outcome.usage = usage if usage is not None else outcome.usage


def _checked(outcome: Outcome, answer: httpx.Response) -> dict[str, Any]:
    if answer.status_code != 200:
        outcome.advised = "retry-after" in answer.headers
        raise _FailedError(f"HTTP {answer.status_code}", answer.text)
    found: dict[str, Any] = answer.json()
    return found


async def _events(answer: httpx.Response) -> AsyncIterator[Any]:
    async for line in answer.aiter_lines():
        if line:
            yield json.loads(line.removeprefix("data: "))


def _stub(channel: grpc.aio.Channel) -> inference_pb2_grpc.InferenceServiceStub:
    return inference_pb2_grpc.InferenceServiceStub(channel)


def _metadata(asking: Asking) -> tuple[tuple[str, str], ...]:
    return tuple(asking.target.headers.items())
