"""Output of one engine step: deltas, rejections, progress and statistics."""

from typing import NamedTuple

from llm_inference_api.errors import ServiceError
from llm_inference_api.requests.events import CallPart, FinishReason, Logprobs, Progress, Stage, Usage


class Delta(NamedTuple):
    """What one step adds to one answer. An answer's last delta has the finish reason and the usage."""

    request_id: str
    text: str
    """Text of the content."""
    logprobs: Logprobs = ()
    """Log probabilities of the tokens of `text`."""
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    answer: int = 0
    """0-based index of the answer in its request."""
    max_tokens: int = 0
    """In the last delta: the tokens that the answer could have."""
    ended_at: float = 0.0
    """In the last delta: seconds of the monotonic clock, as in `StageEntry`."""
    thought: str = ""
    """Text of the thoughts, which stand before the content."""
    calls: tuple[CallPart, ...] = ()
    scores: tuple[Logprobs, ...] = ()
    """Of a request for scores, in the only delta: the log probabilities of each text."""
    ignored: tuple[str, ...] = ()
    """In the last delta: names of the request's keywords that the answer does not follow."""
    stop: str = ""
    """In the last delta: the stop string that ended the answer."""

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing."""
        return not (self.text or self.thought or self.calls or self.finish_reason)


class StageEntry(NamedTuple):
    """The time at which an answer entered a stage."""

    request_id: str
    stage: Stage
    at: float
    """Seconds of the monotonic clock, which is common to all processes of a machine."""
    answer: int = 0


class Rejection(NamedTuple):
    """A request that the worker refuses or aborts; all its answers end with the error."""

    request_id: str
    error: ServiceError


class StepStats(NamedTuple):
    """Counters of one step, and gauges taken after it."""

    seconds: float = 0.0
    prompt_tokens: int = 0
    """Prompt tokens that were computed."""
    cached_tokens: int = 0
    """Prompt tokens that were reused from cached prefixes."""
    completion_tokens: int = 0
    """Sampled tokens."""
    queue_seconds: tuple[float, ...] = ()
    """Queue time of each request that was admitted."""
    cancelled: tuple[Stage, ...] = ()
    """Stage of each request that was cancelled before this step."""
    running: int = 0
    waiting: int = 0
    kv_used: int = 0
    """KV cache cells held by running requests."""
    kv_cached: int = 0
    """KV cache cells that hold prefixes of ended requests; they can be evicted."""
    stored_tokens: int = 0
    """Tokens in the store of prefixes."""
    stored_bytes: int = 0
    """What they take."""
    oldest_waiting: float = 0.0
    """Queue time of the request that has waited longest, in seconds."""
    resident_bytes: int = 0
    """Resident memory of the worker process."""


class StepOutput(NamedTuple):
    """Message from the worker: the output of one step for all requests."""

    deltas: tuple[Delta, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    progress: tuple[tuple[str, Progress], ...] = ()
    entries: tuple[StageEntry, ...] = ()
    """Stage entries since the end of the previous step."""
    stats: StepStats = StepStats()
