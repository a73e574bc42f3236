"""What server and worker say to each other over their pipe: small, typed, one message a step.

End of file is a message too: for the worker that the server is gone, for the server that the worker is.
"""

import logging
from enum import Enum
from typing import NamedTuple

from llm_inference_api.errors import ServiceError
from llm_inference_api.requests.inquiry import Embed, Embeddings, Findings, Inquiry
from llm_inference_api.requests.model_info import ModelInfo
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.requests.step import StepOutput


class Lane(Enum):
    """A thread of the worker that can hang while the others go on; the value says what it failed to do."""

    LOADING = "the loading made no progress"
    PREPARING = "no request was prepared and no text tokenized"
    STEPS = "no step ended"
    EMBEDDINGS = "no embedding was computed"


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


class Prepared(NamedTuple):
    """From the worker: the preparer is done with this request, or has skipped it; a step says what becomes of it."""

    request_id: str


class Alive(NamedTuple):
    """From the worker: this lane goes on with work that takes long."""

    lane: Lane


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


ToWorker = Submit | Cancel | Inquire | Compute | Abandon
FromWorker = Loading | Prepared | Answered | Alive | Ready | LoadFailed | LogLine | LastWords | StepOutput

LOG_LEVELS = {3: logging.WARNING, 4: logging.ERROR}
"""Python's level for each `ggml_log_level` (ggml.h). Its information is about llama.cpp's inside: for debugging."""
