"""What is asked of a model: a prompt to continue, or a chat to answer."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from llm_inference_api.requests.chat import Message
from llm_inference_api.requests.constraint import Constraint
from llm_inference_api.requests.tools import ToolUse

MAX_SEED = 2**32 - 2
"""llama.cpp takes 2^32 - 1 for "no seed" (LLAMA_DEFAULT_SEED)."""
_SEEDS = MAX_SEED + 1


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


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A prompt to continue, or a chat to answer, once or several times."""

    id: str
    prompt: str | tuple[Message, ...]
    sampling: Sampling
    stopping: Stopping = Stopping()
    constraint: Constraint | None = None
    tools: ToolUse | None = None
    caller: str = ""
    """Who asks; waiting requests of different callers are served in turn."""
    model: str = ""
    """Id of the model; empty for the only one that is served."""
    n: int = 1
    """Answers that are wanted."""
    created: int = field(default_factory=lambda: int(time.time()))
    """Seconds since 1970-01-01 UTC."""

    def sampling_of(self, index: int) -> Sampling:
        """Returns how the answer with this index is sampled: each one has a seed of its own."""
        return replace(self.sampling, seed=self.seed_of(index)) if index else self.sampling

    def seed_of(self, index: int) -> int:
        """Returns the seed of the answer with this index: the request's for the first, then the next ones."""
        return (self.sampling.seed + index) % _SEEDS


def random_seed() -> int:
    """Returns a seed for a request that names none."""
    return secrets.randbelow(_SEEDS)
