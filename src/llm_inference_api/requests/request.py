"""`GenerationRequest`: a prompt or a chat, with its sampling parameters and stop conditions."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from llm_inference_api.requests.chat import Message
from llm_inference_api.requests.constraint import Constraint
from llm_inference_api.requests.tools import ToolUse

MAX_SEED = 2**32 - 2
"""llama.cpp reserves 2^32 - 1 for a random seed (LLAMA_DEFAULT_SEED)."""
_SEEDS = MAX_SEED + 1


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


@dataclass(frozen=True, slots=True)
class Stopping:
    """Stop conditions."""

    max_tokens: int | None = None
    """None: the service's default, or the rest of the context if that is less."""
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A request for `n` answers to a prompt (text) or a chat (messages)."""

    id: str
    prompt: str | tuple[Message, ...]
    sampling: Sampling
    stopping: Stopping = Stopping()
    constraint: Constraint | None = None
    tools: ToolUse | None = None
    caller: str = ""
    """The caller's name; the queue admits callers round-robin."""
    model: str = ""
    """Model id; empty: the only model that is served."""
    n: int = 1
    """Number of answers."""
    created: int = field(default_factory=lambda: int(time.time()))
    """Unix time in seconds."""
    is_whole: bool = False
    """Whether all answers are sent in one response, which has to have room for them."""

    def sampling_of(self, index: int) -> Sampling:
        """Returns the sampling parameters of the answer with this index; they differ in the seed."""
        return replace(self.sampling, seed=self.seed_of(index)) if index else self.sampling

    def seed_of(self, index: int) -> int:
        """Returns the seed of the answer with this index: the request's seed plus the index, modulo 2^32 - 1."""
        return (self.sampling.seed + index) % _SEEDS


def random_seed() -> int:
    """Returns a random seed, for requests that set none."""
    return secrets.randbelow(_SEEDS)
