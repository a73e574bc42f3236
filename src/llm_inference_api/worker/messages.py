"""Messages between server and worker. They are pickled over a pipe; a step is reported by a single message.

End of file on the pipe means that the other process has exited.
"""

import logging
from enum import Enum
from typing import NamedTuple

from llm_inference_api.errors import ServiceError
from llm_inference_api.requests.classifying import Classes
from llm_inference_api.requests.errand import Errand
from llm_inference_api.requests.inquiry import Embeddings, Found, Inquiry
from llm_inference_api.requests.model_info import ModelInfo
from llm_inference_api.requests.ranking import Relevances
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.requests.step import StepOutput


class Lane(Enum):
    """A part of the worker's work that can hang independently; the value is the watchdog's error text for it."""

    LOADING = "the loading made no progress"
    PREPARING = "no request was prepared and no text tokenized"
    COMPILING = "no constraint was compiled"
    STEPS = "no step ended"
    EMBEDDINGS = "no embedding was computed"
    """Relevance too."""


class Submit(NamedTuple):
    """To the worker: queue a request."""

    request: GenerationRequest


class Cancel(NamedTuple):
    """To the worker: cancel a request in any stage."""

    request_id: str


class Inquire(NamedTuple):
    """To the worker: answer an inquiry about the model."""

    inquiry_id: int
    inquiry: Inquiry
    caller: str = ""
    """The caller's name; inquiries of different callers are answered in turn."""


class Compute(NamedTuple):
    """To the worker: compute embeddings or relevance."""

    inquiry_id: int
    errand: Errand


class Abandon(NamedTuple):
    """To the worker: cancel an inquiry or an errand."""

    inquiry_id: int


class Answered(NamedTuple):
    """From the worker: result or error of an inquiry or an errand."""

    inquiry_id: int
    findings: Found | Embeddings | Relevances | Classes | ServiceError


class Prepared(NamedTuple):
    """From the worker: the request left the preparer's queue: prepared, rejected, or skipped because it was cancelled.

    A rejection itself arrives with the output of a step.
    """

    request_id: str


class Begun(NamedTuple):
    """From the worker: what a lane computes from now on, instead of what it computed before.

    It is sent before the work, so that the server knows what a crash may be due to.
    """

    lane: Lane
    keys: tuple[str | int, ...]
    """Ids of requests or inquiries."""


class Alive(NamedTuple):
    """From the worker: heartbeat of a lane during long work."""

    lane: Lane


class Loading(NamedTuple):
    """From the worker: load progress; the loaded fraction of the weights, 0 to 1."""

    fraction: float


class Ready(NamedTuple):
    """From the worker: the model is loaded and requests are accepted."""

    info: ModelInfo


class LoadFailed(NamedTuple):
    """From the worker, last message before it exits: the model cannot be loaded."""

    reason: str


class LogLine(NamedTuple):
    """From the worker: a log record, logged by the server."""

    level: int
    text: str
    request_id: str = ""
    """Id of the request that the record is about; empty if there is none."""


class LastWords(NamedTuple):
    """From the worker, last message before it aborts: a failed assertion in llama.cpp, or an unhandled exception."""

    text: str
    lost_server: bool = False
    """Whether it aborts since the connection to an RPC server is lost."""


def lane_of(message: GenerationRequest | Inquire) -> Lane:
    """Returns the lane that prepares a request or answers an inquiry; constraints have one of their own."""
    if isinstance(message, Inquire) or (message.constraint is None and message.tools is None):
        return Lane.PREPARING
    return Lane.COMPILING


ToWorker = Submit | Cancel | Inquire | Compute | Abandon
FromWorker = Loading | Begun | Prepared | Answered | Alive | Ready | LoadFailed | LogLine | LastWords | StepOutput

LOG_LEVELS = {3: logging.WARNING, 4: logging.ERROR}
"""Python's level for each `ggml_log_level` (ggml.h); all others, GGML_LOG_LEVEL_INFO included, are logged as DEBUG."""
