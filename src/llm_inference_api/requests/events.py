"""What is answered: events, each of one of a request's answers (`answer` says which, from 0), and what they cost."""

from enum import Enum
from typing import NamedTuple


class FinishReason(Enum):
    """Why a generation ended."""

    STOP = "STOP"
    """The model ended its answer, or a stop string appeared."""
    LENGTH = "LENGTH"
    """`max_tokens` were generated."""
    TOOL_CALLS = "TOOL_CALLS"
    """The model calls tools."""


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


Logprobs = tuple[TokenLogprob, ...]
"""Of the tokens that an event is made of, in order; empty where the request asked for none."""


class Text(NamedTuple):
    """Text that continues an answer."""

    text: str
    answer: int = 0
    logprobs: Logprobs = ()


class Thought(NamedTuple):
    """Text that continues what the model thinks before it answers."""

    text: str
    answer: int = 0
    logprobs: Logprobs = ()


class CallPart(NamedTuple):
    """A call of a tool begins, or its arguments go on."""

    call: int
    """Which of the answer's calls, from 0."""
    id: str = ""
    """At the beginning of the call only, as the name."""
    name: str = ""
    arguments: str = ""
    """Text that continues the arguments so far."""
    answer: int = 0
    logprobs: Logprobs = ()


class End(NamedTuple):
    """An answer ends; the last one of a request has the usage of all."""

    reason: FinishReason
    answer: int = 0
    usage: Usage | None = None
    logprobs: Logprobs = ()
    """Of tokens without text, such as the end token."""


class Stage(Enum):
    """What a request without text waits for, in the order in which it passes them."""

    LOADING = "LOADING"
    QUEUED = "QUEUED"
    PREFILL = "PREFILL"
    DECODE = "DECODE"


class Progress(NamedTuple):
    """Where a request stands that has no text to show."""

    stage: Stage
    requests_ahead: int = 0
    prompt_tokens: int = 0
    computed_tokens: int = 0


Piece = Text | Thought | CallPart
"""What adds to an answer."""
Event = Piece | End | Progress
