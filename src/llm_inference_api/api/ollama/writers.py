"""Writes answers and events as Ollama's JSON documents, and as the lines of its streams."""

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from llm_inference_api.api.bodies import Json, document, large_document, numbers
from llm_inference_api.generation.answers import Answer
from llm_inference_api.requests.events import (
    CallPart,
    End,
    Event,
    FinishReason,
    Progress,
    Text,
    Thought,
    TokenLogprob,
    TopLogprob,
    Usage,
)
from llm_inference_api.requests.inquiry import Embeddings
from llm_inference_api.requests.speeds import Speeds
from llm_inference_api.requests.tools import ToolCall, complete_arguments

LINES = "application/x-ndjson"
"""Media type of a stream."""
LOADED, UNLOADED = "load", "unload"
"""Reasons of answers to requests that ask for nothing else."""
_NANOSECONDS = 10**9
_REASONS = {FinishReason.STOP: "stop", FinishReason.LENGTH: "length", FinishReason.TOOL_CALLS: "stop"}


def line(value: Json) -> bytes:
    """Returns the object as a line."""
    return document(value) + b"\n"


def timestamp(at: datetime) -> str:
    """Returns a time in RFC 3339's form, which Go's decoder reads."""
    return at.isoformat().replace("+00:00", "Z")


class DocumentShape(Protocol):
    """Where a document has what the model has said."""

    def __call__(self, text: str, thoughts: str, calls: Sequence[Json]) -> Json:
        """Returns the fields of a piece of an answer."""


def chat_shape(text: str, thoughts: str, calls: Sequence[Json]) -> Json:
    """Returns the fields of `/api/chat`."""
    more: Json = {**({"thinking": thoughts} if thoughts else {}), **({"tool_calls": list(calls)} if calls else {})}
    return {"message": {"role": "assistant", "content": text, **more}}


def generate_shape(text: str, thoughts: str, calls: Sequence[Json]) -> Json:  # noqa: ARG001 - a prompt has no tools
    """Returns the fields of `/api/generate`."""
    return {"response": text, **({"thinking": thoughts} if thoughts else {})}


@dataclass(slots=True)
class AnswerWriter:
    """Writes one generation of one answer."""

    model: str
    """The model's name, as the request has it."""
    shape: DocumentShape
    started_at: float
    """Arrival of the request, in seconds of the monotonic clock."""
    _open: ToolCall | None = None
    """The call of which parts arrive: a line has a whole one."""
    _calls: int = 0
    """Number of calls that were written."""

    def whole(self, answers: list[Answer], usage: Usage) -> bytes:
        """Returns the document of the answer."""
        (answer,) = answers
        said = self.shape(answer.text, answer.thoughts, [call_object(*each) for each in enumerate(answer.calls)])
        return large_document(
            {**self._heading(), **said, **logprobs(answer.logprobs), **self._ending(answer.reason, usage)}
        )

    def part(self, event: Event) -> bytes:
        """Returns the lines that say what an event adds; none for a part of a call, as lines have whole calls."""
        return b"".join(map(line, self._parts(event)))

    def without_words(self, reason: str) -> Json:
        """Returns the document of a request that has only loaded or unloaded the model."""
        return {**self._heading(), **self.shape("", "", []), "done": True, "done_reason": reason}

    def _parts(self, event: Event) -> Iterator[Json]:
        match event:
            case CallPart():
                yield from self._call(event)
            case Text(text, _, tokens):
                yield {**self._going_on(text), **logprobs(tokens)}
            case Thought(text):
                yield self._going_on(thoughts=text)
            case Progress():
                yield self._going_on()  # Keeps proxies from closing an idle stream.
            case End():
                yield from self._finished_call()
                assert event.usage is not None
                yield {**self._heading(), **self.shape("", "", []), **self._ending(event.reason, event.usage)}

    def _going_on(self, text: str = "", thoughts: str = "", calls: Sequence[Json] = ()) -> Json:
        return {**self._heading(), **self.shape(text, thoughts, calls), "done": False}

    def _call(self, part: CallPart) -> Iterator[Json]:
        """Keeps a part of a call; yields the call before, which has ended where another one begins."""
        if self._open is not None and not part.id:
            arguments = self._open.arguments + part.arguments
            self._open = ToolCall(self._open.id, self._open.name, arguments)
            return
        yield from self._finished_call()
        self._open = ToolCall(part.id, part.name, part.arguments)

    def _finished_call(self) -> Iterator[Json]:
        if self._open is not None:
            yield self._going_on(calls=[call_object(self._calls, self._open)])
            self._open = None
            self._calls += 1

    def _heading(self) -> Json:
        return {"model": self.model, "created_at": timestamp(datetime.now(UTC))}

    def _ending(self, reason: FinishReason | None, usage: Usage) -> Json:
        assert reason is not None
        return {"done": True, "done_reason": _REASONS[reason], **self._durations(usage)}

    def _durations(self, usage: Usage) -> Json:
        """Returns token counts and durations; a load is what passed before the request was queued."""
        assert usage.times is not None
        speeds, total = Speeds(usage), time.monotonic() - self.started_at
        since_queued = usage.times.ended - usage.times.queued
        return {
            "total_duration": nanoseconds(total),
            "load_duration": nanoseconds(max(total - since_queued, 0.0)),
            "prompt_eval_count": usage.prompt_tokens,
            "prompt_eval_duration": nanoseconds(speeds.prompt_ms / 1000),
            "eval_count": usage.completion_tokens,
            "eval_duration": nanoseconds(speeds.completion_ms / 1000),
        }


def nanoseconds(seconds: float) -> int:
    """Returns a duration as Ollama writes it."""
    return round(seconds * _NANOSECONDS)


def call_object(index: int, call: ToolCall) -> Json:
    """Returns a call; the arguments of one that was cut within them as far as they go."""
    found = json.loads(complete_arguments(call.arguments))
    arguments = found if isinstance(found, dict) else {}
    return {"id": call.id, "function": {"index": index, "name": call.name, "arguments": arguments}}


def logprobs(tokens: Iterable[TokenLogprob]) -> Json:
    """Returns the field with the tokens' log probabilities; none if there are no tokens."""
    entries = [{**_token(entry), "top_logprobs": list(map(_token, entry.top_logprobs))} for entry in tokens]
    return {"logprobs": entries} if entries else {}


def _token(token: TokenLogprob | TopLogprob) -> Json:
    text = token.token_bytes.decode("utf-8", "replace")
    return {"token": text, "logprob": token.logprob, "bytes": list(token.token_bytes)}


def embed_document(model: str, found: Embeddings, seconds: float) -> bytes:
    """Returns the document of `/api/embed`. May take a second for large responses, so call it in a thread."""
    vectors = ",".join(map(numbers, found))
    tokens = sum(embedding.tokens for embedding in found)
    head = document({"model": model, "total_duration": nanoseconds(seconds), "prompt_eval_count": tokens})
    return head.removesuffix(b"}") + f',"embeddings":[{vectors}]}}'.encode()


def embed_prompt_document(found: Embeddings) -> bytes:
    """Returns the document of `/api/embeddings`: the only vector, or none where no text was sent."""
    vector = numbers(found[0]) if found else "[]"
    return f'{{"embedding":{vector}}}'.encode()
