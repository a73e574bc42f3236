"""Events of a request's answers, and usage. `answer` is the 0-based index of the answer that an event belongs to."""

from enum import Enum
from typing import NamedTuple


class FinishReason(Enum):
    """Why an answer ended."""

    STOP = "STOP"
    """The model generated its end token, or a stop string matched."""
    LENGTH = "LENGTH"
    """The limit of tokens was reached."""
    TOOL_CALLS = "TOOL_CALLS"
    """The answer ended with tool calls."""


class Times(NamedTuple):
    """When a request reached its stages, in seconds of the monotonic clock; the first of its answers counts."""

    queued: float
    started: float
    """Computation of the prompt."""
    first_token: float
    ended: float
    """Of the last answer to end."""

    def joined(self, other: "Times") -> "Times":
        """Returns the times of two requests as those of one."""
        return Times(
            min(self.queued, other.queued),
            min(self.started, other.started),
            min(self.first_token, other.first_token),
            max(self.ended, other.ended),
        )


class Usage(NamedTuple):
    """Token counts of a request, and its times where it wants them."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    """Prompt tokens that were reused from a cached prefix."""
    times: Times | None = None
    reasoning_tokens: int = 0
    """Completion tokens that are thoughts or their markers."""


class TopLogprob(NamedTuple):
    """One of the most probable tokens at a position."""

    token_id: int
    token_bytes: bytes
    logprob: float


class TokenLogprob(NamedTuple):
    """The log probability of a token, and the most probable tokens at its position."""

    token_id: int
    token_bytes: bytes
    logprob: float
    """NaN for the first token of a prompt, which follows nothing."""
    top_logprobs: tuple[TopLogprob, ...]


Logprobs = tuple[TokenLogprob, ...]
"""One entry per token of a text, in order; empty if the request did not ask for log probabilities."""


class Text(NamedTuple):
    """Text to append to an answer's content."""

    text: str
    answer: int = 0
    logprobs: Logprobs = ()
    """Of the tokens with characters in `text`. A token with characters in two texts belongs to the first."""


class Thought(NamedTuple):
    """Text to append to an answer's reasoning content."""

    text: str
    answer: int = 0


class CallPart(NamedTuple):
    """A tool call begins, or its arguments continue."""

    call: int
    """0-based index of the call in its answer."""
    id: str = ""
    """Id and name are set in the first part of a call only."""
    name: str = ""
    arguments: str = ""
    """Text to append to the call's arguments."""
    answer: int = 0


class End(NamedTuple):
    """An answer ends. The last End of a request carries the total usage."""

    reason: FinishReason
    answer: int = 0
    usage: Usage | None = None
    max_tokens: int = 0
    """The tokens that the answer could have: what was asked for, or less."""
    ignored: tuple[str, ...] = ()
    """Names of the request's keywords that the answer does not follow."""
    stop: str = ""
    """The stop string that ended the answer; empty for none."""
    scores: tuple[Logprobs, ...] = ()
    """Where the request has texts to score: for each, the log probabilities of its tokens."""


class Stage(Enum):
    """Stages of a request, in the order in which it enters them."""

    LOADING = "LOADING"
    QUEUED = "QUEUED"
    PREFILL = "PREFILL"
    DECODE = "DECODE"


class Progress(NamedTuple):
    """Progress of a request that has no text to send yet. Counts are set in the stages that they apply to."""

    stage: Stage
    requests_ahead: int = 0
    prompt_tokens: int = 0
    computed_tokens: int = 0
    cached_tokens: int = 0
    """Those of the computed tokens that were reused."""
    seconds: float = 0.0
    """Time since the computation of the prompt began."""
    answer: int = 0
    """Index of the first answer to the prompt that is reported on."""


Piece = Text | Thought | CallPart
"""Events that append to an answer."""
Event = Piece | End | Progress
