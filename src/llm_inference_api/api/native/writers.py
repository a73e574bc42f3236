"""Writes answers and events as the response messages of Generate and Chat."""

from typing import Any

from llm_inference.v1 import inference_pb2, tools_pb2
from llm_inference_api.api.native.messages import logprobs, progress, timings, usage
from llm_inference_api.generation.answers import Answer
from llm_inference_api.requests.events import CallPart, End, Event, Piece, Progress, Text, Thought, Usage
from llm_inference_api.requests.request import GenerationRequest

Fields = dict[str, Any]


def generate_response(request: GenerationRequest, answers: list[Answer], cost: Usage) -> inference_pb2.GenerateResponse:
    """Returns the unary response of Generate: the first answer, and the others as alternatives."""
    first, *others = answers
    alternatives = [
        inference_pb2.GenerateAlternative(**_place(request, answer), text=answer.text, **_ending(answer))
        for answer in others
    ]
    return inference_pb2.GenerateResponse(
        **_heading(request),
        text=first.text,
        **_ending(first),
        **_cost(first, cost),
        alternatives=inference_pb2.GenerateAlternatives(answers=alternatives) if alternatives else None,
    )


def chat_response(request: GenerationRequest, answers: list[Answer], cost: Usage) -> inference_pb2.ChatResponse:
    """Returns the unary response of Chat: the first answer, and the others as alternatives."""
    first, *others = answers
    alternatives = [
        inference_pb2.ChatAlternative(**_place(request, answer), message=message(answer), **_ending(answer))
        for answer in others
    ]
    return inference_pb2.ChatResponse(
        **_heading(request),
        message=message(first),
        **_ending(first),
        ignored_keywords=_ignored(first.ignored),
        **_cost(first, cost),
        alternatives=inference_pb2.ChatAlternatives(answers=alternatives) if alternatives else None,
    )


class StreamWriter:
    """Base of the stream writers. The first message that is not progress carries the heading: id, model, seed."""

    def __init__(self, request: GenerationRequest) -> None:
        self._request = request
        self._heading: Fields | None = _heading(request)

    def _fields(self, event: Piece | End) -> Fields:
        """Returns the fields that the messages of both streams have in common."""
        heading, self._heading = self._heading or {}, None
        fields = {
            **heading,
            "index": event.answer if self._request.n > 1 else None,
        }
        if isinstance(event, Text):
            fields["logprobs"] = logprobs(event.logprobs)
        if isinstance(event, End):
            fields |= {"finish_reason": event.reason.value, "max_tokens": event.max_tokens}
            if event.usage is not None:
                fields |= {"usage": usage(event.usage), "timings": timings(event.usage)}
        return fields


class GenerateWriter(StreamWriter):
    """Writes the messages of GenerateStream."""

    def part(self, event: Event) -> inference_pb2.GenerateStreamResponse:
        """Returns the message for an event."""
        if isinstance(event, Progress):
            return inference_pb2.GenerateStreamResponse(progress=progress(event))
        text = event.text if isinstance(event, Text) else ""
        return inference_pb2.GenerateStreamResponse(text=text, **self._fields(event))


class ChatWriter(StreamWriter):
    """Writes the messages of ChatStream."""

    def part(self, event: Event) -> inference_pb2.ChatStreamResponse:
        """Returns the message for an event."""
        if isinstance(event, Progress):
            return inference_pb2.ChatStreamResponse(progress=progress(event))
        ignored = _ignored(event.ignored) if isinstance(event, End) else None
        return inference_pb2.ChatStreamResponse(delta=delta(event), ignored_keywords=ignored, **self._fields(event))


def _heading(request: GenerationRequest) -> Fields:
    return {"id": request.id, "created": request.created, "model": request.model, "seed": request.sampling.seed}


def _place(request: GenerationRequest, answer: Answer) -> Fields:
    return {"index": answer.index, "seed": request.seed_of(answer.index)}


def _ending(answer: Answer) -> Fields:
    assert answer.reason is not None
    return {"finish_reason": answer.reason.value, "logprobs": logprobs(tuple(answer.logprobs))}


def _cost(answer: Answer, cost: Usage) -> Fields:
    return {"max_tokens": answer.max_tokens, "usage": usage(cost), "timings": timings(cost)}


def _ignored(keywords: tuple[str, ...]) -> tools_pb2.IgnoredKeywords | None:
    return tools_pb2.IgnoredKeywords(names=keywords) if keywords else None


def message(answer: Answer) -> inference_pb2.ChatMessage:
    """Returns an answer as the assistant's message."""
    return inference_pb2.ChatMessage(
        role="assistant",
        content=answer.text,
        tool_calls=[tools_pb2.ToolCall(id=call.id, name=call.name, arguments=call.arguments) for call in answer.calls],
        reasoning_content=answer.thoughts or None,
    )


def delta(event: Piece | End) -> inference_pb2.ChatDelta:
    """Returns what an event appends to an answer; of an End, nothing."""
    match event:
        case Text(text):
            return inference_pb2.ChatDelta(content=text)
        case Thought(text):
            return inference_pb2.ChatDelta(reasoning_content=text)
        case CallPart(call, call_id, name, arguments):
            part = tools_pb2.ToolCallDelta(
                index=call, id=call_id or None, name=name or None, arguments=arguments or None
            )
            return inference_pb2.ChatDelta(tool_call=part)
        case End():
            return inference_pb2.ChatDelta(content="")
