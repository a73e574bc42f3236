"""What server and worker say to each other over their pipe: small, typed, one message a step.

End of file is a message too: for the worker that the server is gone, for the server that the worker is.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from llm_inference_api.engine.inquiry import Embed, Embeddings, Findings, Inquiry
from llm_inference_api.engine.request import Delta, GenerationRequest, Progress, Stage, StageEntry
from llm_inference_api.engine.tool_format import ToolFormat
from llm_inference_api.errors import ServiceError

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
    """Seconds after which a worker that owes answers and says nothing is taken for hung."""
    context: ContextChoice = ContextChoice()
    gpu: GpuChoice = GpuChoice()
    tokenizer: Path | None = None
    """A directory whose chat template and tokenizer take the place of the file's own."""
    batch_tokens: int = 512
    """Rows of one forward at most."""
    scoped_prefixes: bool = False
    """Whether each caller has cached prefixes of its own."""


class ModelInfo(NamedTuple):
    """What is known of a loaded model."""

    description: str
    parameters: int
    size_bytes: int
    context_length: int
    trained_context_length: int
    vocabulary_size: int
    slots: int
    cache_tokens: int
    has_chat_template: bool
    devices: tuple[str, ...]
    tool_format: str = ToolFormat.GENERIC.value
    opens_thoughts: bool = False
    """Whether the model's template begins each answer with thoughts."""
    generates: bool = True
    """Whether the model generates text; others compute embeddings only."""
    embedding_length: int = 0
    """Numbers of an embedding; 0 where the model computes none."""


class Submit(NamedTuple):
    """To the worker: compute this request."""

    request: GenerationRequest


class Cancel(NamedTuple):
    """To the worker: forget this request, in whatever stage it is."""

    request_id: str


class Inquire(NamedTuple):
    """To the worker: say this of the model."""

    inquiry_id: int
    inquiry: Inquiry


class Compute(NamedTuple):
    """To the worker: compute these embeddings."""

    inquiry_id: int
    embed: Embed


class Abandon(NamedTuple):
    """To the worker: nobody waits for these embeddings any more."""

    inquiry_id: int


class Answered(NamedTuple):
    """From the worker: what an inquiry found, or why it found nothing."""

    inquiry_id: int
    findings: Findings | Embeddings | ServiceError


class Loading(NamedTuple):
    """From the worker: this part of the model's weights is in memory."""

    fraction: float


class Ready(NamedTuple):
    """From the worker: requests may come."""

    info: ModelInfo


class LoadFailed(NamedTuple):
    """From the worker, which exits after it: why the model cannot be loaded."""

    reason: str


class LogLine(NamedTuple):
    """From the worker: a line for the service's log."""

    level: int
    text: str
    request_id: str = ""
    """Of the request that it is about, if it is about one."""


class LastWords(NamedTuple):
    """From the worker, which aborts after it: what llama.cpp says of the failed check."""

    text: str


class Rejection(NamedTuple):
    """A request that the worker will not (go on to) compute."""

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


ToWorker = Submit | Cancel | Inquire | Compute | Abandon
FromWorker = Loading | Answered | Ready | LoadFailed | LogLine | LastWords | StepOutput

LOG_LEVELS = {3: logging.WARNING, 4: logging.ERROR}
"""Python's level for each `ggml_log_level` (ggml.h). Its information is about llama.cpp's inside: for debugging."""
