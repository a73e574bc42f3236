"""One answer to a request, on its way through the engine."""

from dataclasses import dataclass, field

from llm_inference_api.engine.backend import Sampler
from llm_inference_api.engine.output import OutputText
from llm_inference_api.requests.events import FinishReason, Stage, TokenLogprob, Usage
from llm_inference_api.requests.request import GenerationRequest


@dataclass(slots=True, eq=False)
class Sequence:
    """The known tokens of an answer, how many of them the model has computed, and the text that came of it."""

    request: GenerationRequest
    tokens: list[int]
    """The prompt's, then the generated ones."""
    max_tokens: int
    output: OutputText
    sampler: Sampler
    submitted_at: float
    """Seconds on the monotonic clock."""
    index: int = 0
    """Which of the request's answers this is."""
    prompt_length: int = field(init=False)
    computed: int = 0
    """Leading tokens whose keys and values are in the cache."""
    cached: int = 0
    """Tokens of the prompt that were found in the cache at admission."""
    seat: int | None = None
    finish_reason: FinishReason | None = None
    ended: bool = False
    """Whether the engine has forgotten the sequence, for whatever reason."""
    pending_logprobs: list[TokenLogprob] = field(default_factory=list)
    """Of tokens whose text is not sent yet."""

    def __post_init__(self) -> None:
        self.prompt_length = len(self.tokens)

    @property
    def request_id(self) -> str:
        """The request's id, which all its answers share."""
        return self.request.id

    @property
    def completion_tokens(self) -> int:
        """Tokens that were generated so far."""
        return len(self.tokens) - self.prompt_length

    @property
    def uncomputed(self) -> int:
        """Known tokens that the model has not computed."""
        return len(self.tokens) - self.computed

    @property
    def outstanding(self) -> int:
        """Cells of the key-value cache that the request may still take."""
        return self.prompt_length + self.max_tokens - self.computed

    @property
    def stage(self) -> Stage:
        """What the request waits for."""
        if self.seat is None:
            return Stage.QUEUED
        return Stage.PREFILL if self.computed < self.prompt_length else Stage.DECODE

    @property
    def usage(self) -> Usage:
        """The tokens that the request cost so far."""
        return Usage(self.prompt_length, self.completion_tokens, self.cached)

    def take_logprobs(self) -> tuple[TokenLogprob, ...]:
        """Returns the log probabilities that wait for their text, and forgets them."""
        taken = tuple(self.pending_logprobs)
        self.pending_logprobs.clear()
        return taken
