"""How one model is to be run."""

from dataclasses import dataclass
from pathlib import Path

DEFAULT_CONTEXT_LENGTH = 4096
"""Tokens of one request's prompt and answer where the settings name no number and the model allows as many."""
KV_CACHE_CONTEXTS = 4
"""Full contexts that the key-value cache holds where the settings name no number of tokens."""


@dataclass(frozen=True, slots=True)
class ContextChoice:
    """What the settings say of the context."""

    length: int | None = None
    """Tokens of one request's prompt and answer; None: the model's own, at most `DEFAULT_CONTEXT_LENGTH`."""
    cache_tokens: int | None = None
    """Tokens that the key-value cache holds for all requests together; None: `KV_CACHE_CONTEXTS` full contexts."""

    def sizes(self, trained: int) -> tuple[int, int]:
        """Returns the tokens of one request and of the cache, for a model that was trained on so many."""
        length = min(self.length or DEFAULT_CONTEXT_LENGTH, trained or DEFAULT_CONTEXT_LENGTH)
        return length, max(self.cache_tokens or KV_CACHE_CONTEXTS * length, length)


@dataclass(frozen=True, slots=True)
class GpuChoice:
    """What the settings say of GPUs; nothing of it has an effect where llama.cpp was built for none."""

    layers: int = -1
    """Layers to keep on GPUs; negative: all."""
    main: int = 0
    """The GPU that has the whole model where it is not split."""
    split_mode: str = "layer"
    """How a model is spread over GPUs: `none`, `layer` or `row`."""
    tensor_split: tuple[float, ...] = ()
    """The part of the model that each GPU has, relative to the others; empty: as their memory allows."""


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """What a worker needs to know to run one model."""

    model_path: Path
    threads: int
    slots: int
    """Requests that are computed at the same time at most."""
    default_max_tokens: int
    queue_timeout: float
    """Seconds that an admissible request waits for a slot at most."""
    step_timeout: float = 60.0
    """Seconds after which a worker is taken for hung if it owes a step, a prepared request or an embedding, and the
    thread that is to compute it says nothing."""
    load_timeout: float = 300.0
    """Seconds without progress after which a worker that loads its model is taken for hung.

    Between two signs of life a load may open devices, allocate the cache, build a tokenizer or read the largest tensor,
    of some gigabytes: seconds on most machines, minutes on the slowest. A load that is given up too soon never
    succeeds, so the bound is generous.
    """
    context: ContextChoice = ContextChoice()
    gpu: GpuChoice = GpuChoice()
    tokenizer: Path | None = None
    """A directory whose chat template and tokenizer take the place of the file's own."""
    batch_tokens: int = 512
    """Rows of one forward at most."""
    scoped_prefixes: bool = False
    """Whether each caller has cached prefixes of its own."""
