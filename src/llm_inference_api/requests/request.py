"""What is asked of an engine and what it answers, free of wire types."""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from llm_inference_api.requests.tools import ToolCall, ToolUse


class FinishReason(Enum):
    """Why a generation ended."""

    STOP = "STOP"
    """The model ended its answer, or a stop string appeared."""
    LENGTH = "LENGTH"
    """`max_tokens` were generated."""
    TOOL_CALLS = "TOOL_CALLS"
    """The model calls tools."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat."""

    role: str
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    """In a tool's result: the call's id."""
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a token is chosen among those that the model thinks likely; ranges are those of the proto."""

    seed: int
    temperature: float = 0.7
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    typical_p: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    logprobs: int | None = None
    """Most probable tokens to list at each position; None for no log probabilities at all."""


@dataclass(frozen=True, slots=True)
class Stopping:
    """When a generation ends."""

    max_tokens: int | None = None
    """None: the service's default, or what the context leaves."""
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False


class Language(Enum):
    """How a constraint is written."""

    JSON_SCHEMA = "json_schema"
    REGEX = "regex"
    CHOICE = "choice"
    """A JSON list of texts."""
    LARK = "lark"


@dataclass(frozen=True, slots=True)
class Constraint:
    """What the whole text of an answer must match."""

    language: Language
    source: str
    field: str
    """The field of the request that asks for it."""
    before: str = ""
    """Lark rules for `before`, which may stand before the text that matches; empty for nothing."""
    words: "Constraint | None" = None
    """What `@words` stands for in Lark rules that use it."""


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A prompt to continue, or a chat to answer."""

    id: str
    prompt: str | tuple[Message, ...]
    sampling: Sampling
    stopping: Stopping = Stopping()
    constraint: Constraint | None = None
    tools: ToolUse | None = None
    caller: str = ""
    """Who asks; waiting requests of different callers are served in turn."""


class Usage(NamedTuple):
    """The tokens that a request cost."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int


class TopLogprob(NamedTuple):
    """One of the most probable tokens at a position."""

    token_id: int
    token_bytes: bytes
    logprob: float


class TokenLogprob(NamedTuple):
    """The log probability of a generated token, and the most probable ones in its place."""

    token_id: int
    token_bytes: bytes
    logprob: float
    top_logprobs: tuple[TopLogprob, ...]


class Delta(NamedTuple):
    """What one step adds to one request's answer. The last one has a finish reason and the usage."""

    request_id: str
    text: str
    logprobs: tuple[TokenLogprob, ...] = ()
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    answer: int = 0
    """Which of a request's answers this continues, where it asked for several; engines compute one."""
    reasoning: str = ""
    """What the model thinks; engines leave it in the text."""
    tool_call: ToolCall | None = None
    """A tool that the model calls, or more of its arguments, without id and name; engines leave it in the text."""
    tool_index: int = 0
    """Which of the answer's calls that is."""


class Stage(Enum):
    """What a request without text waits for, in the order in which it passes them."""

    LOADING = "LOADING"
    QUEUED = "QUEUED"
    PREFILL = "PREFILL"
    DECODE = "DECODE"


class StageEntry(NamedTuple):
    """The moment at which a request came to a stage."""

    request_id: str
    stage: Stage
    at: float
    """Seconds on the monotonic clock, which all processes of the machine share."""


stage_listener: ContextVar[Callable[[StageEntry], None]] = ContextVar("stage_listener")
"""Whom the engine tells of the stages of requests that are submitted in this context."""


class Progress(NamedTuple):
    """Where a request stands that has no text to show."""

    stage: Stage
    requests_ahead: int = 0
    prompt_tokens: int = 0
    computed_tokens: int = 0
