"""State of one sequence: one of a request's `n` answers."""

from dataclasses import dataclass, field

from llm_inference_api.engine.backend import Sampler
from llm_inference_api.engine.output import OutputText
from llm_inference_api.engine.scores import GivenTokens, ScoreBoard
from llm_inference_api.requests.events import FinishReason, Stage, Usage
from llm_inference_api.requests.request import GenerationRequest


@dataclass(slots=True, eq=False)
class Sequence:
    """One answer of a request: its tokens, how many of them are computed, and its text."""

    request: GenerationRequest
    tokens: list[int]
    """Token ids of the prompt, then the generated ones."""
    max_tokens: int
    output: OutputText
    sampler: Sampler
    submitted_at: float
    """Monotonic time in seconds."""
    index: int = 0
    """Index among the request's answers."""
    ignored: tuple[str, ...] = ()
    """Names of the request's keywords that its constraint does not follow."""
    prompt_length: int = field(init=False)
    computed: int = 0
    """Number of leading tokens whose keys and values are in the KV cache."""
    cached: int = 0
    """Number of prompt tokens that were reused from the KV cache at admission."""
    started_at: float = 0.0
    """Monotonic time in seconds at which the sequence was admitted."""
    seat: int | None = None
    settled: int = 0
    """Number of leading tokens of the prompt that the next request of a conversation has too; 0: unknown."""
    marks: list[int] = field(default_factory=list)
    """Numbers of tokens, ascending, at which the state of the layers is to be kept; see `state_marks`."""
    given: GivenTokens | None = None
    """Tokens of the prompt whose log probabilities are read; None: none are."""
    echo: str = ""
    """Text of the prompt, where the answer begins with it."""
    board: ScoreBoard | None = None
    """Where the request's scores come together, of which this sequence computes some; None: it generates."""
    followers: list["Sequence"] = field(default_factory=list)
    """Sequences that begin with what this one computes, to be queued when it has ended."""
    is_follower: bool = False
    """Whether it is queued by the end of another one."""
    finish_reason: FinishReason | None = None
    ended: bool = False
    """Whether the engine has removed the sequence: finished, failed or cancelled."""

    def __post_init__(self) -> None:
        self.prompt_length = len(self.tokens)

    @property
    def request_id(self) -> str:
        """Id of the request; shared by its answers."""
        return self.request.id

    @property
    def completion_tokens(self) -> int:
        """Number of tokens generated so far."""
        return len(self.tokens) - self.prompt_length

    @property
    def uncomputed(self) -> int:
        """Number of known tokens that are not computed yet."""
        return len(self.tokens) - self.computed

    @property
    def is_decoding(self) -> bool:
        """Whether it needs one row in each step, its newest token's."""
        return self.uncomputed == 1 and self.board is None

    @property
    def reusable(self) -> list[int]:
        """The tokens that may come from the KV cache, and one more, which must be computed."""
        first = None if self.given is None else self.given.first
        return self.tokens if first is None else self.tokens[: first + 1]

    @property
    def outstanding(self) -> int:
        """Number of KV cache cells that the sequence may still take, up to its max_tokens."""
        return self.prompt_length + self.max_tokens - self.computed

    @property
    def stage(self) -> Stage:
        """Current stage, derived from the seat and the computed tokens."""
        if self.seat is None:
            return Stage.QUEUED
        return Stage.PREFILL if self.computed < self.prompt_length else Stage.DECODE

    @property
    def usage(self) -> Usage:
        """Token counts so far."""
        return Usage(
            self.prompt_length,
            self.completion_tokens,
            self.cached,
            reasoning_tokens=self.output.thought_tokens,
        )
