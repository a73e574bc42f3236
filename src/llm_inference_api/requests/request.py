"""`GenerationRequest`: a prompt or a chat, with its sampling parameters and stop conditions."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from llm_inference_api.requests.adapters import Adapters
from llm_inference_api.requests.chat import Ending, Message
from llm_inference_api.requests.constraint import Constraint
from llm_inference_api.requests.scoring import Scoring
from llm_inference_api.requests.thinking import DEFAULT, Thinking
from llm_inference_api.requests.tools import ToolUse

MAX_SEED = 2**32 - 2
"""llama.cpp reserves 2^32 - 1 for a random seed (LLAMA_DEFAULT_SEED)."""
_SEEDS = MAX_SEED + 1
_MINUS_ONE = (-1, 2**32 - 1, 2**64 - 1)


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling parameters. Meanings and ranges are those of the proto's fields of the same names."""

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
    """Number of most probable tokens to return at each position; None: no log probabilities."""
    logit_bias_texts: Mapping[str, float] = field(default_factory=dict)
    """Biases by text: each of its tokens gets the bias."""
    top_n_sigma: float = 0.0
    min_keep: int = 0
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    dynatemp_range: float = 0.0
    dynatemp_exponent: float = 1.0
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = 64
    dry_sequence_breakers: tuple[str, ...] = ("\n", ":", '"', "*")
    mirostat: int = 0
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1


@dataclass(frozen=True, slots=True)
class Stopping:
    """Stop conditions."""

    max_tokens: int | None = None
    """None: the service's default. What exceeds the rest of the context is lowered to it."""
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False


GREEDY = Sampling(seed=0, temperature=0.0)
"""Of requests that sample nothing."""


class TokenPrompt(NamedTuple):
    """A prompt as token ids, to which nothing is added."""

    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A request for `n` answers to a prompt (text or tokens) or a chat (messages)."""

    id: str
    prompt: str | TokenPrompt | tuple[Message, ...]
    sampling: Sampling
    stopping: Stopping = Stopping()
    constraint: Constraint | None = None
    tools: ToolUse | None = None
    caller: str = ""
    """The caller's name; the queue admits callers round-robin."""
    session: str = ""
    """Requests of one session go to the same replica of a cluster; empty: those whose prompts begin alike."""
    model: str = ""
    """Model id; empty: the only model that is served."""
    n: int = 1
    """Number of answers."""
    ending: Ending = Ending.ANSWER
    """How the prompt of a chat ends."""
    thinking: Thinking = DEFAULT
    """Whether and how much to think before an answer to a chat."""
    created: int = field(default_factory=lambda: int(time.time()))
    """Unix time in seconds."""
    suffix: str = ""
    """Text after the answer, which the answer is to lead to; empty: none."""
    sent_in: str = ""
    """Name of the field that the caller sent the prompt in, for error messages; empty: `prompt`, or `messages`."""
    place: int | None = None
    """Index of the prompt where the caller sent a list of them, for error messages."""
    wants_progress: bool = False
    """Whether a stream reports each step of the prompt's computation."""
    wants_times: bool = False
    """Whether the answer says how long its parts took."""
    adapters: Adapters = ()
    """Adapters to apply to the model, in the order of their ids."""
    echoes: bool = False
    """Whether the answers begin with the prompt, and its log probabilities where those of the answer are wanted."""
    scoring: Scoring | None = None
    """What to score behind the prompt, instead of generating answers."""
    is_whole: bool = False
    """Whether all answers are sent in one response, which has to have room for them."""

    @property
    def is_chat(self) -> bool:
        """Whether the prompt is a chat's messages."""
        return not isinstance(self.prompt, str | TokenPrompt)

    @property
    def prompt_field(self) -> str:
        """Name of the field that has the prompt, for error messages."""
        if self.sent_in or self.is_chat:
            return self.sent_in or "messages"
        return "prompt" if self.place is None else f"prompt[{self.place}]"

    def sampling_of(self, index: int) -> Sampling:
        """Returns the sampling parameters of the answer with this index; they differ in the seed."""
        return replace(self.sampling, seed=self.seed_of(index)) if index else self.sampling

    def seed_of(self, index: int) -> int:
        """Returns the seed of the answer with this index: the request's seed plus the index, modulo 2^32 - 1."""
        return (self.sampling.seed + index) % _SEEDS


def folded_seed(seed: int | None) -> int:
    """Returns the seed that stands for any integer: it modulo 2^32 - 1; a random one for None and for -1.

    -1 is also taken as 32 and as 64 bits without a sign, as clients in other languages write it.
    """
    return secrets.randbelow(_SEEDS) if seed is None or seed in _MINUS_ONE else seed % _SEEDS
