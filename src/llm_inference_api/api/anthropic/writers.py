"""Writes answers and events as Anthropic's JSON objects and SSE events."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from llm_inference_api.api.bodies import Json, document, large_document
from llm_inference_api.errors import ComputationError
from llm_inference_api.generation.answers import Answer
from llm_inference_api.requests.events import CallPart, End, Event, FinishReason, Progress, Stage, Text, Thought, Usage
from llm_inference_api.requests.json_object import finite, integer
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.requests.tools import complete_arguments

_REASONS = {FinishReason.STOP: "end_turn", FinishReason.LENGTH: "max_tokens", FinishReason.TOOL_CALLS: "tool_use"}
_NO_SIGNATURE = ""
"""Thoughts are not signed; clients want the field."""


def sse_event(value: Json) -> bytes:
    """Returns an SSE event with the object as its data, named by its type."""
    return b"event: " + str(value["type"]).encode() + b"\ndata: " + document(value) + b"\n\n"


def usage_object(usage: Usage) -> Json:
    """Returns Anthropic's usage object: input tokens are those that were computed, without the cached ones."""
    return {
        "input_tokens": usage.prompt_tokens - usage.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
    }


@dataclass(slots=True)
class _Open:
    """The block of a stream that is being written."""

    kind: str
    """Its type, or that and the number of its call."""
    index: int


class MessageWriter:
    """Writes one generation of one answer as objects of `/v1/messages`."""

    def __init__(self, request: GenerationRequest) -> None:
        """Takes the request, with the resolved model id."""
        self._request = request
        self._is_begun = False
        self._open: _Open | None = None
        self._blocks = 0
        self._read = Usage(0, 0, 0)
        """What is known of the prompt."""

    def whole(self, answers: list[Answer], usage: Usage) -> bytes:
        """Returns the object for the answer."""
        (answer,) = answers
        ending = _ending(answer.reason, answer.stop, answer.max_tokens, answer.ignored)
        return large_document(
            {**self._message(), "content": self._content(answer), **ending, "usage": usage_object(usage)}
        )

    def part(self, event: Event) -> bytes:
        """Returns the server-sent events that say what an event adds."""
        return b"".join(map(sse_event, self._events(event)))

    def _message(self) -> Json:
        return {
            "id": self._request.id,
            "type": "message",
            "role": "assistant",
            "model": self._request.model,
            "seed": self._request.sampling.seed,
        }

    def _content(self, answer: Answer) -> list[Json]:
        thoughts = answer.thoughts if self._request.thinking.is_shown else ""
        blocks: list[Json] = []
        if thoughts:
            blocks.append({"type": "thinking", "thinking": thoughts, "signature": _NO_SIGNATURE})
        if answer.text or not (thoughts or answer.calls):
            blocks.append({"type": "text", "text": answer.text, "citations": None})
        blocks += (
            {"type": "tool_use", "id": call.id, "name": call.name, "input": _input(call.arguments)}
            for call in answer.calls
        )
        return blocks

    def _events(self, event: Event) -> Iterator[Json]:
        if isinstance(event, Progress):
            yield from self._progress(event)
            return
        if isinstance(event, Thought) and not self._request.thinking.is_shown:
            yield {"type": "ping"}
            return
        yield from self._begin()
        match event:
            case Text(text) if text:
                yield from self._block("text", {"type": "text", "text": "", "citations": None})
                yield self._delta({"type": "text_delta", "text": text})
            case Thought(text):
                yield from self._block("thinking", {"type": "thinking", "thinking": "", "signature": _NO_SIGNATURE})
                yield self._delta({"type": "thinking_delta", "thinking": text})
            case CallPart():
                yield from self._call(event)
            case End():
                yield from self._end(event)

    def _progress(self, event: Progress) -> Iterator[Json]:
        """Yields the beginning of the message once its prompt is known; before, only that something is done."""
        if event.stage is Stage.PREFILL and not self._is_begun:
            self._read = Usage(event.prompt_tokens, 0, event.cached_tokens)
            yield from self._begin()
        else:
            yield {"type": "ping"}

    def _begin(self) -> Iterator[Json]:
        if not self._is_begun:
            self._is_begun = True
            ending = {"stop_reason": None, "stop_sequence": None, "max_tokens": None}
            rest: Json = {"content": [], **ending, "usage": usage_object(self._read)}
            yield {"type": "message_start", "message": {**self._message(), **rest}}

    def _block(self, kind: str, block: Json) -> Iterator[Json]:
        """Yields the beginning of a block, unless it is open."""
        if self._open is not None and self._open.kind == kind:
            return
        yield from self._close()
        self._open = _Open(kind, self._blocks)
        self._blocks += 1
        yield {"type": "content_block_start", "index": self._open.index, "content_block": block}

    def _close(self) -> Iterator[Json]:
        if self._open is None:
            return
        if self._open.kind == "thinking":
            yield self._delta({"type": "signature_delta", "signature": _NO_SIGNATURE})
        yield {"type": "content_block_stop", "index": self._open.index}
        self._open = None

    def _delta(self, delta: Json) -> Json:
        assert self._open is not None
        return {"type": "content_block_delta", "index": self._open.index, "delta": delta}

    def _call(self, part: CallPart) -> Iterator[Json]:
        block = {"type": "tool_use", "id": part.id, "name": part.name, "input": {}}
        yield from self._block(f"tool_use {part.call}", block)
        if part.arguments:
            yield self._delta({"type": "input_json_delta", "partial_json": part.arguments})

    def _end(self, end: End) -> Iterator[Json]:
        yield from self._close()
        assert end.usage is not None
        delta = _ending(end.reason, end.stop, end.max_tokens, end.ignored)
        yield {"type": "message_delta", "delta": delta, "usage": usage_object(end.usage)}
        yield {"type": "message_stop"}


def _ending(reason: FinishReason | None, stop: str, max_tokens: int, ignored: tuple[str, ...]) -> Json:
    """Returns why an answer ended; the last two fields are not Anthropic's."""
    assert reason is not None
    return {
        "stop_reason": "stop_sequence" if stop else _REASONS[reason],
        "stop_sequence": stop or None,
        "max_tokens": max_tokens,
        **({"ignored_keywords": list(ignored)} if ignored else {}),
    }


def _input(arguments: str) -> Json:
    """Returns a call's arguments; those of an answer that was cut within them as far as they go.

    Raises ComputationError if they are no JSON that can be read, such as a number of 5,000 digits.
    """
    try:
        found = finite(json.loads(complete_arguments(arguments), parse_int=integer))
    except (ValueError, RecursionError) as error:
        raise ComputationError(f"the model wrote a call whose arguments cannot be read as JSON ({error})") from error
    return found if isinstance(found, dict) else {}
