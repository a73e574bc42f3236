"""How servers are asked: one client for each wire, all with the same two methods."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Any, Protocol

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks.comparison.answers import Answer, RefusedError, UnusableError
from benchmarks.comparison.http_stream import events, read_body, read_head, request
from llm_inference.v1 import inference_pb2, inference_pb2_grpc

OnText = Callable[[], None]
_NO_ROOM = (429, 503)
_LONGEST_ERROR = 200


def ignore_text() -> None:
    """What is called for each text where nobody waits for one."""


class Client(Protocol):
    """One wire of a server."""

    async def ask(self, prompt: str, max_tokens: int, on_text: OnText = ignore_text) -> Answer:
        """Returns a greedy answer of this number of tokens, read to its end.

        Raises:
            RefusedError: The server says that it has no room.
            UnusableError: The answer has another length, or there is none.
        """

    async def health(self) -> None:
        """Asks whether the server is well, and waits for its answer, whatever it is.

        Raises:
            OSError: There is none.
        """

    async def close(self) -> None:
        """Ends connections and what else the client holds."""


class GrpcClient:
    """`GenerateStream` of the service."""

    def __init__(self, address: str, model: str) -> None:
        self._channel = grpc.aio.insecure_channel(address)
        self._stub: Any = inference_pb2_grpc.InferenceServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._health = health_pb2_grpc.HealthStub(self._channel)
        self._model = model

    async def ask(self, prompt: str, max_tokens: int, on_text: OnText = ignore_text) -> Answer:
        """Asks over gRPC."""
        asked = inference_pb2.GenerateRequest(
            prompt=prompt, model=self._model, max_tokens=max_tokens, temperature=0.0, ignore_eos=True
        )
        answer, texts = Answer(time.perf_counter()), []
        try:
            async for part in self._stub.GenerateStream(asked):
                if part.text:
                    answer.arrivals.append(time.perf_counter())
                    texts.append(part.text)
                    on_text()
                if part.HasField("usage"):
                    answer.tokens, answer.cached = part.usage.completion_tokens, part.usage.cached_tokens
                    answer.prompt_tokens = part.usage.prompt_tokens
        except grpc.aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise RefusedError(error.details()) from None
            raise UnusableError(f"{error.code().name}: {error.details()}") from None
        return _finished(answer, texts, max_tokens)

    async def health(self) -> None:
        """Asks gRPC's standard health service."""
        try:
            await self._health.Check(health_pb2.HealthCheckRequest())
        except grpc.aio.AioRpcError as error:
            raise ConnectionError(error.details()) from None

    async def close(self) -> None:
        """Closes the channel."""
        await self._channel.close()


class HttpClient:
    """A wire over HTTP with server-sent events, each request on a connection of its own.

    What differs is the path, the fields of a request and where an event has what; subclasses say it.
    """

    path: str

    def __init__(self, port: int, model: str, health_path: str, extra: Mapping[str, Any] | None = None) -> None:
        self._port, self._model, self._health_path = port, model, health_path
        self._extra = dict(extra or {})

    def fields(self, prompt: str, max_tokens: int) -> dict[str, Any]:
        """Returns a request's JSON."""
        raise NotImplementedError

    def read(self, answer: Answer, event: Mapping[str, Any]) -> str:
        """Writes the counts that an event has into the answer; returns its text."""
        raise NotImplementedError

    async def ask(self, prompt: str, max_tokens: int, on_text: OnText = ignore_text) -> Answer:
        """Asks over a new connection."""
        answer, texts = Answer(time.perf_counter()), []
        body = self.fields(prompt, max_tokens) | self._extra
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            try:
                writer.write(request("POST", self.path, body))
                head = await read_head(reader)
                async with aclosing(read_body(reader, head.headers)) as parts:  # type: ignore[type-var]
                    if head.status != 200:
                        raise _error(head.status, b"".join([part async for part in parts]))
                    async with aclosing(events(parts)) as received:  # type: ignore[type-var]
                        async for event in received:
                            if event.get("error"):
                                raise UnusableError(json.dumps(event["error"])[:_LONGEST_ERROR])
                            if text := self.read(answer, event):
                                answer.arrivals.append(time.perf_counter())
                                texts.append(text)
                                on_text()
            finally:
                writer.close()
        except (OSError, asyncio.IncompleteReadError) as error:
            raise UnusableError(f"{type(error).__name__}: {error}") from None
        return _finished(answer, texts, max_tokens)

    async def health(self) -> None:
        """Asks the path that the server has for it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(request("GET", self._health_path))
            head = await read_head(reader)
            async for _ in read_body(reader, head.headers):
                pass
        finally:
            writer.close()

    async def close(self) -> None:
        """Each connection ends with its request."""


class RestClient(HttpClient):
    """`/api/generate/stream`: the service's own REST, through Envoy."""

    path = "/api/generate/stream"

    def fields(self, prompt: str, max_tokens: int) -> dict[str, Any]:
        """Returns a request of greedy sampling."""
        greedy = {"max_tokens": max_tokens, "temperature": 0, "ignore_eos": True}
        return {"prompt": prompt, "model": self._model, **greedy}

    def read(self, answer: Answer, event: Mapping[str, Any]) -> str:
        """Reads an event."""
        if usage := event.get("usage"):
            answer.tokens, answer.cached = usage["completion_tokens"], usage.get("cached_tokens", 0)
            answer.prompt_tokens = usage["prompt_tokens"]
        return str(event.get("text") or "")


class CompletionsClient(HttpClient):
    """`/v1/completions`, OpenAI's, of the service and of llama-server."""

    path = "/v1/completions"

    def fields(self, prompt: str, max_tokens: int) -> dict[str, Any]:
        """Returns a request of greedy sampling."""
        greedy = {"max_tokens": max_tokens, "temperature": 0, "ignore_eos": True}
        streamed = {"stream": True, "stream_options": {"include_usage": True}}
        return {"prompt": prompt, "model": self._model, **greedy, **streamed}

    def read(self, answer: Answer, event: Mapping[str, Any]) -> str:
        """Reads an event."""
        if usage := event.get("usage"):
            answer.tokens, answer.prompt_tokens = usage["completion_tokens"], usage["prompt_tokens"]
            answer.cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
        return "".join(choice.get("text") or "" for choice in event.get("choices") or ())


class UncountedCompletionsClient(CompletionsClient):
    """`/v1/completions` of llama_cpp.server, which says no counts in a stream, but whether an answer has its length.

    It does not know `ignore_eos`: the tokens that end answers are forbidden one by one, in the fields of each request.
    """

    def fields(self, prompt: str, max_tokens: int) -> dict[str, Any]:
        """Returns a request of greedy sampling."""
        greedy = {"max_tokens": max_tokens, "temperature": 0}
        return {"prompt": prompt, "model": self._model, **greedy, "stream": True}

    def read(self, answer: Answer, event: Mapping[str, Any]) -> str:
        """Reads an event."""
        if any(choice.get("finish_reason") == "length" for choice in event.get("choices") or ()):
            answer.has_its_length = True
        return super().read(answer, event)


def _finished(answer: Answer, texts: list[str], max_tokens: int) -> Answer:
    answer.ended, answer.text = time.perf_counter(), "".join(texts)
    if answer.has_its_length:
        answer.tokens = max_tokens
    answer.check(max_tokens)
    return answer


def _error(status: int, body: bytes) -> Exception:
    text = f"{status}: {body.decode('utf-8', 'replace')[:_LONGEST_ERROR]}"
    return RefusedError(text) if status in _NO_ROOM else UnusableError(text)
