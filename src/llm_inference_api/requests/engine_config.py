"""Engine configuration of one model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_CONTEXT_LENGTH = 4096
"""Context length in tokens of models that do not say what they were trained on. No model's share of the memory gives
another less, unless it was trained on less."""
KV_CACHE_CONTEXTS = 4
"""Default size of the KV cache, in full contexts …"""
_KV_CACHE_TOKENS = KV_CACHE_CONTEXTS * DEFAULT_CONTEXT_LENGTH
"""… and its limit in tokens where the context is the trained one; at least one full context in any case."""


@dataclass(frozen=True, slots=True)
class ContextChoice:
    """Context length and KV cache size from the settings."""

    length: int | None = None
    """Maximum tokens of a prompt with its answer; None: what the model was trained on."""
    cache_tokens: int | None = None
    """Size of the KV cache, shared by all requests, in tokens; None: see `KV_CACHE_CONTEXTS`."""
    may_shrink: bool = False
    """Whether the length was not asked for, so that less is taken where the devices have no memory for it."""

    def sizes(self, trained: int) -> tuple[int, int]:
        """Returns the context length and the KV cache size, in tokens.

        Args:
            trained: Context length that the model was trained on; 0 if unknown.
        """
        longest = trained or DEFAULT_CONTEXT_LENGTH
        length = min(self.length or longest, longest)
        contexts = KV_CACHE_CONTEXTS * length
        wanted = contexts if self.length else min(contexts, _KV_CACHE_TOKENS)
        return length, max(self.cache_tokens or wanted, length)


@dataclass(frozen=True, slots=True)
class GpuChoice:
    """What is offloaded to GPUs and RPC servers; without effect where llama.cpp has neither."""

    layers: int = -1
    """Number of layers to offload to GPUs; negative: all."""
    main: int = 0
    """Index of the GPU that holds the whole model with split mode `none`."""
    split_mode: str = "layer"
    """How the model is split over GPUs: `none`, `layer` or `row`."""
    tensor_split: tuple[float, ...] = ()
    """Relative share of the model on each device, those of servers first; empty: by their free memory."""
    servers: tuple[str, ...] = ()
    """`host:port` of the RPC servers whose devices are used."""


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Configuration that a worker needs to load and run one model."""

    model_path: Path
    threads: int
    slots: int
    """Maximum number of sequences computed concurrently."""
    default_max_tokens: int
    queue_timeout: float
    """Maximum queue time of a request, in seconds."""
    step_timeout: float = 60.0
    """Seconds after which a worker is considered hung if a step, a prepared request or an embedding is pending and the
    thread that computes it has sent nothing."""
    load_timeout: float = 300.0
    """Seconds without progress after which a worker that loads its model is considered hung.

    Between two progress messages a load may open devices, allocate the cache, build a tokenizer or read the largest
    tensor, of some gigabytes: seconds on most machines, minutes on the slowest. If the bound is too short the model can
    never be loaded, so it is generous.
    """
    context: ContextChoice = ContextChoice()
    gpu: GpuChoice = GpuChoice()
    tokenizer: Path | None = None
    """Directory with a chat template and tokenizer that replace those of the model file."""
    batch_tokens: int = 512
    """Maximum batch size of one forward, in tokens."""
    max_gap: float = 4.0
    """Bound of a step with a part of a prompt while answers are running, in multiples of a step without."""
    prefix_store: int | None = None
    """Bytes of memory for prefixes of ended requests; 0: they stay in the key-value cache. None: by the model's size,
    which a worker is told."""
    reproducible: bool = True
    """Whether a request's text may depend only on the request, as far as the backend can compute so."""
    scoped_prefixes: bool = False
    """Whether cached prefixes are reused by the same caller only."""
    adapters: Mapping[str, Path] = field(default_factory=dict)
    """Files of the model's LoRA adapters, by id."""
    cuts_vectors: bool = False
    """Whether the model was trained so that the first components of its vectors say most (Matryoshka)."""
    verbose: bool = False
    """Whether llama.cpp's lines for debugging are logged."""
