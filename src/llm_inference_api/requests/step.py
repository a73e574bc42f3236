"""What one step of the engine reports."""

from typing import NamedTuple

from llm_inference_api.errors import ServiceError
from llm_inference_api.requests.events import FinishReason, Logprobs, Progress, Stage, Usage


class Delta(NamedTuple):
    """What one step adds to one of a request's answers. The last one has a finish reason and the answer's usage."""

    request_id: str
    text: str
    logprobs: Logprobs = ()
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    answer: int = 0
    """Which of the request's answers this continues."""


class StageEntry(NamedTuple):
    """The moment at which one of a request's answers came to a stage."""

    request_id: str
    stage: Stage
    at: float
    """Seconds on the monotonic clock, which all processes of the machine share."""
    answer: int = 0


class Rejection(NamedTuple):
    """A request that the worker does not (go on to) compute, with none of its answers."""

    request_id: str
    error: ServiceError


class StepStats(NamedTuple):
    """What one step did, and how things stand after it."""

    seconds: float = 0.0
    prompt_tokens: int = 0
    """Rows of prompts that were computed."""
    cached_tokens: int = 0
    """Rows of prompts that were found in the cache."""
    completion_tokens: int = 0
    """Tokens that were sampled."""
    queue_seconds: tuple[float, ...] = ()
    """Of each request that left the queue for a slot."""
    cancelled: tuple[Stage, ...] = ()
    """The stage of each request that was cancelled before this step."""
    running: int = 0
    waiting: int = 0
    kv_used: int = 0
    """Cells of the key-value cache that running requests hold."""
    kv_cached: int = 0
    """Cells that hold prefixes of ended requests, free to be taken."""
    oldest_waiting: float = 0.0
    """Seconds that the request has waited which waits longest."""
    resident_bytes: int = 0
    """Of the worker's process."""


class StepOutput(NamedTuple):
    """From the worker: all that one step has for the requests."""

    deltas: tuple[Delta, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    progress: tuple[tuple[str, Progress], ...] = ()
    entries: tuple[StageEntry, ...] = ()
    """The stages that requests came to since the last step's end."""
    stats: StepStats = StepStats()
