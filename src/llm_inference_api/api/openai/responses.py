"""Answers as OpenAI's JSON objects, and the frames of its server-sent events."""

import json
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from llm_inference_api.api.native.tools import whole_calls
from llm_inference_api.requests.inquiry import Embedding, Embeddings
from llm_inference_api.requests.request import Delta, FinishReason, TokenLogprob, Usage
from llm_inference_api.requests.tools import ToolCall

Json = dict[str, Any]

DONE = b"data: [DONE]\n\n"
SILENCE = b": waiting\n\n"
"""A comment: keeps proxies from cutting a silent stream, and clients skip it."""

_FINISH = {FinishReason.STOP: "stop", FinishReason.LENGTH: "length", FinishReason.TOOL_CALLS: "tool_calls"}


def event(value: Json) -> bytes:
    """Returns the event that carries an object."""
    return b"data: " + document(value) + b"\n\n"


def document(value: Json) -> bytes:
    """Returns the object as JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def usage_object(usage: Usage) -> Json:
    """Returns what a request cost."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


@dataclass(frozen=True, slots=True)
class Header:
    """What all objects of one answer begin with."""

    id: str
    created: int
    model: str
    system_fingerprint: str

    def object(self, kind: str) -> Json:
        """Returns the fields of an object of this kind."""
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.system_fingerprint,
        }


class ChatFormat:
    """The objects of `/v1/chat/completions`."""

    def whole(self, header: Header, deltas: list[Delta]) -> Json:
        """Returns the object for all deltas of all answers."""
        choices = [self._choice(index, answer) for index, answer in _by_index(deltas)]
        return {**header.object("chat.completion"), "choices": choices, "usage": _usage(deltas)}

    def chunks(self, header: Header, delta: Delta, *, is_first: bool) -> Iterator[Json]:
        """Yields the objects that say what a delta adds; `is_first` is said of the first one of each answer."""
        base = header.object("chat.completion.chunk")
        if is_first:
            yield {**base, "choices": [_chunk(delta, {"role": "assistant", "content": ""})]}
        if content := _content(delta):
            yield {**base, "choices": [_chunk(delta, content, chat_logprobs(_logprobs([delta])))]}
        if delta.finish_reason:
            yield {**base, "choices": [{**_chunk(delta, {}), "finish_reason": _FINISH[delta.finish_reason]}]}

    def usage_chunk(self, header: Header, usage: Usage) -> Json:
        """Returns the object with which a stream ends that was to say its usage."""
        return {**header.object("chat.completion.chunk"), "choices": [], "usage": usage_object(usage)}

    def _choice(self, index: int, deltas: list[Delta]) -> Json:
        return {
            "index": index,
            "message": _message(deltas),
            "logprobs": chat_logprobs(_logprobs(deltas)),
            "finish_reason": _finish(deltas),
        }


class CompletionFormat:
    """The objects of `/v1/completions`; one format for each request, since a stream's chunks count characters."""

    def __init__(self) -> None:
        self._offsets: dict[int, int] = {}

    def whole(self, header: Header, deltas: list[Delta]) -> Json:
        """Returns the object for all deltas of all answers."""
        choices = [self._choice(index, answer, 0) for index, answer in _by_index(deltas)]
        return {**header.object("text_completion"), "choices": choices, "usage": _usage(deltas)}

    def chunks(self, header: Header, delta: Delta, *, is_first: bool) -> Iterator[Json]:
        """Yields the object that says what a delta adds."""
        offset = self._offsets.get(delta.answer, 0)
        self._offsets[delta.answer] = offset + len(delta.text)
        yield {**header.object("text_completion"), "choices": [self._choice(delta.answer, [delta], offset)]}

    def usage_chunk(self, header: Header, usage: Usage) -> Json:
        """Returns the object with which a stream ends that was to say its usage."""
        return {**header.object("text_completion"), "choices": [], "usage": usage_object(usage)}

    def _choice(self, index: int, deltas: list[Delta], offset: int) -> Json:
        return {
            "index": index,
            "text": _text(deltas),
            "logprobs": completion_logprobs(_logprobs(deltas), offset),
            "finish_reason": _finish(deltas),
        }


Format = ChatFormat | CompletionFormat


def chat_logprobs(entries: tuple[TokenLogprob, ...]) -> Json | None:
    """Returns the tokens' log probabilities as chats have them; None where there are none."""
    if not entries:
        return None
    content = [
        {**_token(entry.token_bytes, entry.logprob), "top_logprobs": [_token(*top[1:]) for top in entry.top_logprobs]}
        for entry in entries
    ]
    return {"content": content, "refusal": None}


def completion_logprobs(entries: tuple[TokenLogprob, ...], offset: int) -> Json | None:
    """Returns the tokens' log probabilities as completions have them, where the text begins at `offset`."""
    if not entries:
        return None
    texts = [_decode(entry.token_bytes) for entry in entries]
    return {
        "tokens": texts,
        "token_logprobs": [entry.logprob for entry in entries],
        "top_logprobs": [{_decode(top.token_bytes): top.logprob for top in entry.top_logprobs} for entry in entries],
        "text_offset": [offset + sum(map(len, texts[:at])) for at in range(len(texts))],
    }


def embedding_document(model: str, embeddings: Embeddings, *, in_base64: bool) -> bytes:
    """Returns the JSON of `/v1/embeddings`; vectors in base64 are F32, the lowest byte first.

    May take a second. It gives way to other threads after each vector.
    """
    written = _base64 if in_base64 else _numbers
    data = ",".join(
        f'{{"object":"embedding","index":{index},"embedding":{written(embedding)}}}'
        for index, embedding in enumerate(embeddings)
    )
    tokens = sum(embedding.tokens for embedding in embeddings)
    rest = document({"model": model, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})
    return f'{{"object":"list","data":[{data}],'.encode() + rest.removeprefix(b"{")


def _base64(embedding: Embedding) -> str:
    return f'"{b64encode(embedding.vector).decode()}"'


def _numbers(embedding: Embedding) -> str:
    """Returns the numbers with as many digits as an F32 has, half as many as JSON's writer would give them."""
    return f"[{','.join(map('%.9g'.__mod__, embedding.numbers))}]"


def _message(deltas: list[Delta]) -> Json:
    calls = [_call(call) for call in whole_calls(deltas)]
    thoughts = "".join(delta.reasoning for delta in deltas)
    return {
        "role": "assistant",
        "content": _text(deltas) or (None if calls else ""),
        "refusal": None,
        **({"reasoning_content": thoughts} if thoughts else {}),
        **({"tool_calls": calls} if calls else {}),
    }


def _content(delta: Delta) -> Json:
    """Returns what a chunk's delta says; nothing where all that it has is an end."""
    if delta.tool_call:
        return {"tool_calls": [{"index": delta.tool_index, **_call_part(delta.tool_call)}]}
    if delta.reasoning:
        return {"reasoning_content": delta.reasoning}
    return {"content": delta.text} if delta.text or delta.logprobs else {}


def _call_part(part: ToolCall) -> Json:
    return _call(part) if part.id else {"function": {"arguments": part.arguments}}


def _call(call: ToolCall) -> Json:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _token(data: bytes, logprob: float) -> Json:
    return {"token": _decode(data), "logprob": logprob, "bytes": list(data)}


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _chunk(delta: Delta, content: Json, logprobs: Json | None = None) -> Json:
    return {"index": delta.answer, "delta": content, "logprobs": logprobs, "finish_reason": None}


def _by_index(deltas: list[Delta]) -> list[tuple[int, list[Delta]]]:
    indices = sorted({delta.answer for delta in deltas})
    return [(index, [delta for delta in deltas if delta.answer == index]) for index in indices]


def _text(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


def _logprobs(deltas: list[Delta]) -> tuple[TokenLogprob, ...]:
    """Returns those of the tokens that have a text: joined, their texts are the answer's."""
    return tuple(entry for delta in deltas for entry in delta.logprobs if entry.token_bytes)


def _finish(deltas: list[Delta]) -> str | None:
    reason = deltas[-1].finish_reason
    return _FINISH[reason] if reason else None


def _usage(deltas: list[Delta]) -> Json:
    last = deltas[-1]
    assert last.usage is not None
    return usage_object(last.usage)
