"""Writes answers and events as OpenAI's JSON objects and SSE events."""

import codecs
import hashlib
import math
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from llm_inference_api import __version__
from llm_inference_api.api.bodies import Json, document, large_document, numbers
from llm_inference_api.generation.answers import Answer
from llm_inference_api.requests.events import (
    CallPart,
    End,
    Event,
    FinishReason,
    Piece,
    Progress,
    Stage,
    Text,
    Thought,
    TokenLogprob,
    TopLogprob,
    Usage,
)
from llm_inference_api.requests.inquiry import Embedding, Embeddings
from llm_inference_api.requests.model_status import ModelStatus
from llm_inference_api.requests.ranking import Relevances, best
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.requests.speeds import Speeds
from llm_inference_api.requests.tools import ToolCall

DONE = b"data: [DONE]\n\n"
_NO_LOGPROBS: Json = {"content": [], "refusal": None}
SILENCE = b": waiting\n\n"
"""An SSE comment, which clients ignore. Keeps proxies from closing an idle stream."""

_FINISH = {FinishReason.STOP: "stop", FinishReason.LENGTH: "length", FinishReason.TOOL_CALLS: "tool_calls"}


class RankingHeader(NamedTuple):
    """What a ranking says besides the relevance."""

    id: str
    model: str
    documents: Sequence[str] = ()
    """The texts, where the caller wants them back."""


def sse_event(value: Json) -> bytes:
    """Returns an SSE event with the object as its data."""
    return b"data: " + document(value) + b"\n\n"


def usage_object(usage: Usage) -> Json:
    """Returns OpenAI's usage object."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


class Header:
    """Common fields of all objects of one request."""

    def __init__(self, request: GenerationRequest, status: Callable[[], ModelStatus]) -> None:
        """Creates a header.

        Args:
            request: The request.
            status: Returns the model's current status. Called when the first object is written, because the fingerprint
                needs the loaded model's description.
        """
        self._request = request
        self._status = status
        self._fingerprint = ""

    def object(self, kind: str) -> Json:
        """Returns the common fields of an object of this kind, such as `chat.completion`."""
        self._fingerprint = self._fingerprint or fingerprint(self._status())
        return {
            "id": self._request.id,
            "object": kind,
            "created": self._request.created,
            "model": self._request.model,
            "system_fingerprint": self._fingerprint,
            "seed": self._request.sampling.seed,
        }

    @property
    def wants_logprobs(self) -> bool:
        """Whether the request asks for log probabilities."""
        return self._request.sampling.logprobs is not None

    @property
    def shows_thoughts(self) -> bool:
        """Whether the answer has the thoughts."""
        return self._request.thinking.is_shown

    @property
    def wants_progress(self) -> bool:
        """Whether the request asks for the progress of its prompt."""
        return self._request.wants_progress


def timings(usage: Usage) -> Json:
    """Returns the field `timings` with the names of llama.cpp's server; an empty object if the usage has no times."""
    if usage.times is None:
        return {}
    speeds = Speeds(usage)
    return {
        "timings": {
            "queue_ms": speeds.queue_ms,
            "cache_n": usage.cached_tokens,
            "prompt_n": speeds.prompt_tokens,
            "prompt_ms": speeds.prompt_ms,
            "prompt_per_second": speeds.prompt_per_second,
            "predicted_n": speeds.completion_tokens,
            "predicted_ms": speeds.completion_ms,
            "predicted_per_second": speeds.completion_per_second,
        }
    }


def _whole(base: Json, choices: list[Json], usage: Usage) -> bytes:
    return large_document({**base, "choices": choices, "usage": usage_object(usage), **timings(usage)})


def _progress(header: Header, kind: str, event: Progress, content: Json) -> bytes:
    """Returns a chunk with the prompt's progress, named as in llama.cpp's server, if it is wanted; else a comment."""
    if not header.wants_progress or event.stage is not Stage.PREFILL:
        return SILENCE
    choice = {"index": event.answer, **content, "logprobs": None, "finish_reason": None}
    progress = {
        "total": event.prompt_tokens,
        "cache": event.cached_tokens,
        "processed": event.computed_tokens,
        "time_ms": round(1000 * event.seconds),
    }
    return sse_event({**header.object(kind), "choices": [choice], "prompt_progress": progress})


class TextPlace:
    """Place in the text of one answer, in characters, that advances by tokens of any bytes."""

    def __init__(self) -> None:
        self._characters = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def advance(self, data: bytes) -> int:
        """Returns the offset of the character that the token begins or continues, and moves behind the token."""
        before = self._characters
        # What is left of a broken character becomes U+FFFD with the next token, but stands before it.
        is_broken = bool(self._decoder.getstate()[0]) and not b"\x80" <= data[:1] <= b"\xbf"
        self._characters += len(self._decoder.decode(data))
        return before + is_broken


def fingerprint(status: ModelStatus) -> str:
    """Returns OpenAI's `system_fingerprint`: a hash of the service's version and the model."""
    what = f"{__version__} {status.id} {status.source} {status.info.description if status.info else ''}"
    return "fp_" + hashlib.sha256(what.encode()).hexdigest()[:12]


@dataclass(slots=True)
class ChatCompletionWriter:
    """Writes one generation as objects of `/v1/chat/completions`."""

    header: Header
    with_usage: bool = False
    """Whether a stream ends with the usage."""
    _begun: set[int] = field(default_factory=set)

    def whole(self, answers: list[Answer], usage: Usage) -> bytes:
        """Returns the object for all answers."""
        choices = [
            {
                "index": answer.index,
                "message": _message(answer, shows_thoughts=self.header.shows_thoughts),
                "logprobs": chat_logprobs(answer.logprobs) or (_NO_LOGPROBS if self.header.wants_logprobs else None),
                "finish_reason": _finish(answer.reason),
                "max_tokens": answer.max_tokens,
            }
            for answer in answers
        ]
        heading = {**self.header.object("chat.completion"), **_ignored(answers[0].ignored)}
        return _whole(heading, choices, usage)

    def part(self, event: Event) -> bytes:
        """Returns the server-sent events that say what an event adds."""
        if isinstance(event, Progress):
            return _progress(self.header, "chat.completion.chunk", event, {"delta": {}})
        if isinstance(event, Thought) and not self.header.shows_thoughts:
            return SILENCE
        chunks = []
        if event.answer not in self._begun:
            self._begun.add(event.answer)
            chunks.append(_choice(event, {"role": "assistant", "content": ""}))
        if content := _content(event):
            chunks.append(_choice(event, content, chat_logprobs(event.logprobs) if isinstance(event, Text) else None))
        if isinstance(event, End):
            ending = {"finish_reason": _finish(event.reason), "max_tokens": event.max_tokens}
            chunks.append({**_choice(event, {}), **ending})
        base = {
            **self.header.object("chat.completion.chunk"),
            **_ignored(event.ignored if isinstance(event, End) else ()),
        }
        return _stream(base, chunks, event, with_usage=self.with_usage)


@dataclass(slots=True)
class CompletionWriter:
    """Writes one generation as objects of `/v1/completions`. Tracks the place in each answer's text for logprobs."""

    header: Header
    with_usage: bool = False
    """Whether a stream ends with the usage."""
    _places: dict[int, TextPlace] = field(default_factory=dict)

    def whole(self, answers: list[Answer], usage: Usage) -> bytes:
        """Returns the object for all answers."""
        choices = [
            {
                "index": answer.index,
                "text": answer.text,
                "logprobs": self._logprobs(answer.logprobs, TextPlace()),
                "finish_reason": _finish(answer.reason),
                "max_tokens": answer.max_tokens,
            }
            for answer in answers
        ]
        return _whole(self.header.object("text_completion"), choices, usage)

    def part(self, event: Event) -> bytes:
        """Returns the server-sent events that say what an event adds."""
        if isinstance(event, Progress):
            return _progress(self.header, "text_completion", event, {"text": ""})
        place = self._places.setdefault(event.answer, TextPlace())
        choice = {
            "index": event.answer,
            "text": event.text if isinstance(event, Text) else "",
            "logprobs": self._logprobs(event.logprobs, place) if isinstance(event, Text) else None,
            "finish_reason": None,
        }
        if isinstance(event, End):
            choice |= {"finish_reason": _finish(event.reason), "max_tokens": event.max_tokens}
        return _stream(self.header.object("text_completion"), [choice], event, with_usage=self.with_usage)

    def _logprobs(self, tokens: Iterable[TokenLogprob], place: TextPlace) -> Json | None:
        return completion_logprobs(tokens, place) if self.header.wants_logprobs else None


def _stream(base: Json, choices: Sequence[Json], event: Event, *, with_usage: bool) -> bytes:
    """Returns one SSE event per choice; after the last answer's End also the usage, if wanted, and `[DONE]`."""
    # OpenAI sends "usage": null in all chunks but the last if the usage is requested.
    more: Json = {"usage": None} if with_usage else {}
    objects: list[Json] = [{**base, "choices": [choice], **more} for choice in choices]
    if not isinstance(event, End) or event.usage is None:
        return b"".join(map(sse_event, objects))
    if with_usage:
        objects.append({**base, "choices": [], "usage": usage_object(event.usage)})
    objects[-1] |= timings(event.usage)  # As llama.cpp's server: in the last chunk, whichever that is.
    return b"".join(map(sse_event, objects)) + DONE


def chat_logprobs(tokens: Iterable[TokenLogprob]) -> Json | None:
    """Returns the logprobs object of chat completions; None if there are no entries."""
    entries = list(tokens)
    if not entries:
        return None
    content = [
        {**_token(entry.token_bytes, entry.logprob), "top_logprobs": [_token(*top[1:]) for top in entry.top_logprobs]}
        for entry in entries
    ]
    return {"content": content, "refusal": None}


def completion_logprobs(tokens: Iterable[TokenLogprob], place: TextPlace) -> Json:
    """Returns the logprobs object of completions; `place` is moved behind them."""
    entries = list(tokens)
    return {
        "tokens": [_key(entry.token_bytes) for entry in entries],
        "token_logprobs": [None if math.isnan(entry.logprob) else entry.logprob for entry in entries],
        "top_logprobs": [None if math.isnan(entry.logprob) else _top(entry) for entry in entries],
        "text_offset": [place.advance(entry.token_bytes) for entry in entries],
    }


def _top(entry: TokenLogprob) -> Json:
    """Returns the log probabilities by token: the most probable ones, and always the one that was sampled."""
    sampled = TopLogprob(entry.token_id, entry.token_bytes, entry.logprob)
    top: Json = {}
    for token in (*entry.top_logprobs, sampled):
        top.setdefault(_key(token.token_bytes), token.logprob)  # Of several with one text, the most probable.
    return top


def _key(data: bytes) -> str:
    """Returns a token's text; as OpenAI does, `bytes:` and its bytes in hexadecimal if they are not UTF-8 alone."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


def embedding_document(model: str, embeddings: Embeddings, *, in_base64: bool) -> bytes:
    """Returns the JSON document of `/v1/embeddings`; vectors in base64 are little-endian float32.

    May take a second for large responses, so call it in a thread; it is split by vector so that other threads can run.
    """
    written = _base64 if in_base64 else numbers
    data = ",".join(
        f'{{"object":"embedding","index":{index},"embedding":{written(embedding)}}}'
        for index, embedding in enumerate(embeddings)
    )
    tokens = sum(embedding.tokens for embedding in embeddings)
    rest = document({"model": model, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})
    return f'{{"object":"list","data":[{data}],'.encode() + rest.removeprefix(b"{")


def ranking_document(header: RankingHeader, relevances: Relevances, top_n: int | None) -> bytes:
    """Returns the JSON document of `/v1/rerank`; equally relevant documents keep their order."""
    tokens = sum(relevance.tokens for relevance in relevances)
    results = [
        {
            "index": item.place,
            "relevance_score": item.relevance.score,
            **({"document": {"text": header.documents[item.place]}} if header.documents else {}),
        }
        for item in best(relevances, top_n)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return document({"id": header.id, "object": "list", "model": header.model, "results": results, "usage": usage})


def _base64(embedding: Embedding) -> str:
    return f'"{b64encode(embedding.vector).decode()}"'


def _message(answer: Answer, *, shows_thoughts: bool) -> Json:
    calls = [_call(call) for call in answer.calls]
    return {
        "role": "assistant",
        "content": answer.text or (None if calls else ""),
        "refusal": None,
        **({"reasoning_content": answer.thoughts} if answer.thoughts and shows_thoughts else {}),
        **({"tool_calls": calls} if calls else {}),
    }


def _content(event: Piece | End) -> Json:
    """Returns a chunk's delta; empty for an End."""
    match event:
        case CallPart():
            return {"tool_calls": [{"index": event.call, **_call_part(event)}]}
        case Thought(text):
            return {"reasoning_content": text}
        case Text(text):
            return {"content": text}
        case End():
            return {}


def _call_part(part: CallPart) -> Json:
    if not part.id:
        return {"function": {"arguments": part.arguments}}
    return _call(ToolCall(part.id, part.name, part.arguments))


def _call(call: ToolCall) -> Json:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _token(data: bytes, logprob: float) -> Json:
    return {"token": _decode(data), "logprob": logprob, "bytes": list(data)}


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _choice(event: Piece | End, content: Json, logprobs: Json | None = None) -> Json:
    return {"index": event.answer, "delta": content, "logprobs": logprobs, "finish_reason": None}


def _ignored(keywords: tuple[str, ...]) -> Json:
    return {"ignored_keywords": list(keywords)} if keywords else {}


def _finish(reason: FinishReason | None) -> str | None:
    return _FINISH[reason] if reason else None
