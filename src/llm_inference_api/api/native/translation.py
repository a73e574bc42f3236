"""The only place where wire types meet domain types. What cannot be honoured is refused here, by field."""

import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from llm_inference.v1 import generation_pb2, inference_pb2, models_pb2
from llm_inference_api.api.native.constraints import constraint
from llm_inference_api.api.native.tools import tool_call_delta, tool_fields, tool_use, whole_calls, wire_tool_call
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.model_status import ModelStatus
from llm_inference_api.requests.request import (
    Delta,
    GenerationRequest,
    Message,
    Progress,
    Sampling,
    Stage,
    Stopping,
    TokenLogprob,
    Usage,
)

MAX_PROMPT_BYTES = 1 << 20
MAX_MESSAGES = 1024
MAX_STOP = 4
MAX_STOP_CHARACTERS = 64
MAX_LOGIT_BIAS = 300
MAX_TOP_LOGPROBS = 20
MAX_SEED = 2**32 - 2
"""llama.cpp takes 2^32 - 1 for "no seed" (LLAMA_DEFAULT_SEED)."""
_SEEDS = MAX_SEED + 1
ROLES = ("system", "user", "assistant", "tool")

WireRequest = inference_pb2.GenerateRequest | inference_pb2.ChatRequest


class Range(NamedTuple):
    """The values that a field may have."""

    low: float
    high: float
    low_is_open: bool = False

    def check(self, field: str, value: float) -> None:
        """Raises InvalidFieldError where the value is outside, or is no number."""
        too_low = value <= self.low if self.low_is_open else value < self.low
        if not math.isfinite(value) or too_low or value > self.high:
            low = f"above {self.low:g}" if self.low_is_open else f"{self.low:.10g}"
            raise InvalidFieldError(field, f"must be a number from {low} to {self.high:.10g}, not {value:.10g}")


RANGES = {
    "temperature": Range(0, 2),
    "top_p": Range(0, 1, low_is_open=True),
    "top_k": Range(0, 2**31 - 1),
    "min_p": Range(0, 1),
    "typical_p": Range(0, 1, low_is_open=True),
    "seed": Range(0, MAX_SEED),
    "presence_penalty": Range(-2, 2),
    "frequency_penalty": Range(-2, 2),
    "repetition_penalty": Range(0, 2, low_is_open=True),
    "top_logprobs": Range(0, MAX_TOP_LOGPROBS),
}
BIAS_RANGE = Range(-100, 100)


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a request means that leaves a field out, and the service's own limit."""

    temperature: float
    top_p: float
    max_tokens_limit: int
    answers_limit: int = 1
    """Answers that one request may ask for."""


def generate_request(wire: inference_pb2.GenerateRequest, request_id: str, defaults: Defaults) -> GenerationRequest:
    """Returns what the message asks for. Raises InvalidFieldError where that cannot be honoured."""
    if not wire.prompt:
        raise InvalidFieldError("prompt", "is missing or empty; it is the text to continue")
    check_size("prompt", len(wire.prompt.encode()))
    return _request(wire, request_id, wire.prompt, defaults)


def chat_request(wire: inference_pb2.ChatRequest, request_id: str, defaults: Defaults) -> GenerationRequest:
    """Returns what the message asks for. Raises InvalidFieldError where that cannot be honoured."""
    if not 1 <= len(wire.messages) <= MAX_MESSAGES:
        raise InvalidFieldError("messages", f"there must be 1 to {MAX_MESSAGES} messages, not {len(wire.messages)}")
    check_size("messages", sum(message.ByteSize() for message in wire.messages))
    messages = tuple(_message(index, message) for index, message in enumerate(wire.messages))
    if messages[-1].tool_calls:
        raise InvalidFieldError("messages", "the last one calls tools; their results must follow it")
    return replace(_request(wire, request_id, messages, defaults), tools=tool_use(wire))


def answers(wire: WireRequest) -> int:
    """Returns how many answers the message asks for."""
    return wire.n if wire.HasField("n") else 1


def _request(
    wire: WireRequest, request_id: str, prompt: str | tuple[Message, ...], defaults: Defaults
) -> GenerationRequest:
    for field, allowed in RANGES.items():
        if wire.HasField(field):
            allowed.check(field, getattr(wire, field))
    if wire.HasField("n"):
        Range(1, defaults.answers_limit).check("n", wire.n)
    return GenerationRequest(request_id, prompt, _sampling(wire, defaults), _stopping(wire, defaults), constraint(wire))


def _message(index: int, wire: inference_pb2.ChatMessage) -> Message:
    field = f"messages[{index}]"
    if wire.role not in ROLES:
        raise InvalidFieldError(f"{field}.role", f"must be one of {', '.join(ROLES)}, not {wire.role[:50]!r}")
    if not wire.content and wire.role == "user":
        raise InvalidFieldError(f"{field}.content", "is missing or empty")
    calls, call_id = tool_fields(field, wire)
    return Message(wire.role, wire.content, calls, call_id, wire.name or None)


def check_size(field: str, size: int) -> None:
    """Raises InvalidFieldError where a text of this many bytes is too long."""
    if size > MAX_PROMPT_BYTES:
        raise InvalidFieldError(field, f"has {size} bytes; at most {MAX_PROMPT_BYTES} are allowed")


def _sampling(wire: WireRequest, defaults: Defaults) -> Sampling:
    if wire.HasField("top_logprobs") and wire.top_logprobs and not wire.logprobs:
        raise InvalidFieldError("top_logprobs", "needs logprobs to be true")
    return Sampling(
        seed=wire.seed if wire.HasField("seed") else secrets.randbelow(_SEEDS),
        temperature=wire.temperature if wire.HasField("temperature") else defaults.temperature,
        top_p=wire.top_p if wire.HasField("top_p") else defaults.top_p,
        top_k=wire.top_k,
        min_p=wire.min_p,
        typical_p=wire.typical_p if wire.HasField("typical_p") else 1.0,
        presence_penalty=wire.presence_penalty,
        frequency_penalty=wire.frequency_penalty,
        repetition_penalty=wire.repetition_penalty if wire.HasField("repetition_penalty") else 1.0,
        logit_bias=_logit_bias(wire),
        logprobs=wire.top_logprobs if wire.logprobs else None,
    )


def _logit_bias(wire: WireRequest) -> dict[int, float]:
    if len(wire.logit_bias) > MAX_LOGIT_BIAS:
        raise InvalidFieldError(
            "logit_bias", f"has {len(wire.logit_bias)} tokens; at most {MAX_LOGIT_BIAS} are allowed"
        )
    for token, bias in wire.logit_bias.items():
        BIAS_RANGE.check(f"logit_bias[{token}]", bias)
    return dict(wire.logit_bias)


def _stopping(wire: WireRequest, defaults: Defaults) -> Stopping:
    if len(wire.stop) > MAX_STOP:
        raise InvalidFieldError("stop", f"has {len(wire.stop)} texts; at most {MAX_STOP} are allowed")
    for index, text in enumerate(wire.stop):
        if not 1 <= len(text) <= MAX_STOP_CHARACTERS:
            problem = f"must have 1 to {MAX_STOP_CHARACTERS} characters, not {len(text)}"
            raise InvalidFieldError(f"stop[{index}]", problem)
    if wire.HasField("max_tokens"):
        Range(1, defaults.max_tokens_limit).check("max_tokens", wire.max_tokens)
    return Stopping(wire.max_tokens if wire.HasField("max_tokens") else None, tuple(wire.stop), wire.ignore_eos)


def usage(domain: Usage) -> generation_pb2.Usage:
    """Returns the message for what a request cost."""
    return generation_pb2.Usage(
        prompt_tokens=domain.prompt_tokens,
        completion_tokens=domain.completion_tokens,
        total_tokens=domain.prompt_tokens + domain.completion_tokens,
        cached_tokens=domain.cached_tokens,
    )


def logprobs(domain: tuple[TokenLogprob, ...]) -> generation_pb2.Logprobs | None:
    """Returns the message for tokens' log probabilities; None where there are none."""
    return generation_pb2.Logprobs(tokens=[_token_logprob(entry) for entry in domain]) if domain else None


def _token_logprob(entry: TokenLogprob) -> generation_pb2.TokenLogprob:
    return generation_pb2.TokenLogprob(
        token_id=entry.token_id,
        token=entry.token_bytes.decode("utf-8", "replace"),
        token_bytes=entry.token_bytes,
        logprob=entry.logprob,
        top_logprobs=[
            generation_pb2.TopLogprob(
                token_id=top.token_id,
                token=top.token_bytes.decode("utf-8", "replace"),
                token_bytes=top.token_bytes,
                logprob=top.logprob,
            )
            for top in entry.top_logprobs
        ],
    )


def progress(domain: Progress) -> generation_pb2.Progress:
    """Returns the message for where a request stands."""
    # A request that decodes but has no text to send yet has a computed prompt.
    stage = Stage.PREFILL if domain.stage is Stage.DECODE else domain.stage
    message = generation_pb2.Progress(stage=stage.value)
    if stage is Stage.QUEUED:
        message.requests_ahead = domain.requests_ahead
    if stage is Stage.PREFILL:
        message.prompt_tokens, message.computed_tokens = domain.prompt_tokens, domain.computed_tokens
    return message


class Shape(NamedTuple):
    """How the answers of one kind of request look; Generate and Chat differ only here."""

    whole: Callable[..., inference_pb2.GenerateResponse | inference_pb2.ChatResponse]
    part: Callable[..., inference_pb2.GenerateStreamResponse | inference_pb2.ChatStreamResponse]
    alternative: Callable[..., Any]
    alternatives: Callable[..., Any]
    text_fields: Callable[[list[Delta]], dict[str, object]]
    delta_fields: Callable[[Delta], dict[str, object]]


GENERATE = Shape(
    inference_pb2.GenerateResponse,
    inference_pb2.GenerateStreamResponse,
    inference_pb2.GenerateAlternative,
    inference_pb2.GenerateAlternatives,
    lambda deltas: {"text": _text(deltas)},
    lambda delta: {"text": delta.text},
)
CHAT = Shape(
    inference_pb2.ChatResponse,
    inference_pb2.ChatStreamResponse,
    inference_pb2.ChatAlternative,
    inference_pb2.ChatAlternatives,
    lambda deltas: {"message": _whole_message(deltas)},
    lambda delta: {"delta": _chat_delta(delta)},
)


def _text(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


def _whole_message(deltas: list[Delta]) -> inference_pb2.ChatMessage:
    return inference_pb2.ChatMessage(
        role="assistant",
        content=_text(deltas),
        tool_calls=map(wire_tool_call, whole_calls(deltas)),
        reasoning_content="".join(delta.reasoning for delta in deltas) or None,
    )


def _chat_delta(delta: Delta) -> inference_pb2.ChatDelta:
    return inference_pb2.ChatDelta(
        content=None if delta.reasoning or delta.tool_call else delta.text,
        reasoning_content=delta.reasoning or None,
        tool_call=tool_call_delta(delta.tool_index, delta.tool_call) if delta.tool_call else None,
    )


class Heading(NamedTuple):
    """What an answer says of itself, once."""

    id: str
    created: int
    model: str
    seed: int


def seed_of(seed: int, index: int) -> int:
    """Returns the seed of one of several answers to a request with this seed."""
    return (seed + index) % _SEEDS


def whole_answer(shape: Shape, heading: Heading, deltas: list[Delta]) -> object:
    """Returns the unary response for all deltas of all answers to a request, the last of which has the usage."""
    by_index: dict[int, list[Delta]] = {}
    for delta in deltas:
        by_index.setdefault(delta.answer, []).append(delta)
    first, *others = (by_index[index] for index in sorted(by_index))
    last = deltas[-1]
    assert last.usage is not None
    alternatives = [
        shape.alternative(index=index, seed=seed_of(heading.seed, index), **_answer_fields(shape, answer))
        for index, answer in enumerate(others, 1)
    ]
    return shape.whole(
        **heading._asdict(),
        **_answer_fields(shape, first),
        usage=usage(last.usage),
        alternatives=shape.alternatives(answers=alternatives) if alternatives else None,
    )


def _answer_fields(shape: Shape, deltas: list[Delta]) -> dict[str, object]:
    last = deltas[-1]
    assert last.finish_reason is not None
    return {
        **shape.text_fields(deltas),
        "finish_reason": last.finish_reason.value,
        "logprobs": logprobs(tuple(entry for delta in deltas for entry in delta.logprobs)),
    }


def stream_delta(shape: Shape, heading: Heading | None, delta: Delta, index: int | None = None) -> object:
    """Returns the stream's message for a delta; the first of a stream has the heading.

    `index` is that of the answer, where there are several.
    """
    return shape.part(
        **(heading._asdict() if heading else {}),
        **shape.delta_fields(delta),
        finish_reason=delta.finish_reason.value if delta.finish_reason else None,
        usage=usage(delta.usage) if delta.usage else None,
        logprobs=logprobs(delta.logprobs),
        index=index,
    )


def model(status: ModelStatus) -> models_pb2.Model:
    """Returns the message for a model as it stands."""
    return models_pb2.Model(
        id=status.id,
        state=status.state.value,
        reason=status.reason,
        progress=models_pb2.LoadProgress(**status.progress._asdict()) if status.progress else None,
        reference=status.source,
        info=models_pb2.ModelInfo(**status.info._asdict(), memory_bytes=status.memory) if status.info else None,
    )
