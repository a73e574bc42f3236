"""Notes what becomes of requests to models: for the log, the metrics and the traces."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from llm_inference_api.errors import (
    ContextLengthError,
    InvalidFieldError,
    OverloadedError,
    PoisonRequestError,
    ServiceError,
)
from llm_inference_api.observability.metrics import Metrics
from llm_inference_api.observability.spans import Asked, Span
from llm_inference_api.requests.request import Delta, GenerationRequest, Stage, StageEntry, stage_listener
from llm_inference_api.rpc.call import Call
from llm_inference_api.rpc.statuses import code_of


class Generation:
    """Sees one request for text."""

    def __init__(self, metrics: Metrics, span: Span, call: Call, model: str) -> None:
        self._metrics = metrics
        self._span = span
        self._call = call
        self._model = model
        self._first_at: float | None = None
        self._finish_reasons: list[str] = []
        self._entries: dict[tuple[str, Stage], float] = {}

    def saw(self, delta: Delta) -> None:
        """Notes what the model adds to an answer."""
        if self._first_at is None:
            self._first_at = self._note_first()
        if delta.finish_reason is not None:
            self._finish_reasons.append(delta.finish_reason.value)
        if delta.usage is not None:
            self._note_end(delta, self._first_at)

    def entered(self, entry: StageEntry) -> None:
        """Notes where the request stands in the worker; of several answers the log has the first one's times."""
        self._span.entered(entry)
        self._entries[entry.request_id, entry.stage] = entry.at
        for stage, before, name in _WAITS:
            began = self._entries.get((entry.request_id, before))
            if entry.stage is stage and began is not None:
                self._call.facts.setdefault(name, _milliseconds(entry.at - began))

    def _note_first(self) -> float:
        now = time.monotonic()
        seconds = now - self._call.started_at
        self._metrics.first_token(self._model, seconds)
        self._span.first_text(seconds)
        self._call.facts["ttft_ms"] = _milliseconds(seconds)
        return now

    def _note_end(self, last: Delta, first_at: float) -> None:
        assert last.finish_reason is not None
        assert last.usage is not None
        now = time.monotonic()
        seconds = now - self._call.started_at
        self._metrics.generated(self._model, last.finish_reason.value, last.usage, seconds, now - first_at)
        self._span.ended(last.usage, self._finish_reasons)
        self._call.facts |= {
            "input_tokens": last.usage.prompt_tokens,
            "cached_tokens": last.usage.cached_tokens,
            "output_tokens": last.usage.completion_tokens,
            "finish_reason": last.finish_reason.value,
        }


_WAITS = ((Stage.PREFILL, Stage.QUEUED, "queue_ms"), (Stage.DECODE, Stage.PREFILL, "prefill_ms"))
"""What ends with the entry to a stage: the stage before, and its name in the log."""


class Embedding:
    """Sees one request for embeddings."""

    def __init__(self, metrics: Metrics, span: Span, call: Call, model: str) -> None:
        self._metrics = metrics
        self._span = span
        self._call = call
        self._model = model

    def saw(self, tokens: int) -> None:
        """Notes that the embeddings are there, and how many tokens their texts have."""
        self._metrics.embedded(self._model, tokens)
        self._span.embedded(tokens)
        self._call.facts["input_tokens"] = tokens


class Witness:
    """Sees all requests to models."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics

    @contextmanager
    def generation(self, asked: Asked, call: Call) -> Iterator[Generation]:
        """Yields what is to be told of a request for text."""
        call.facts |= {"model": asked.model, "answer_id": asked.request.id}
        with call.span.generation(asked) as span, self._ending(span, asked.model, call, asked.request):
            seen = Generation(self.metrics, span, call, asked.model)
            stage_listener.set(seen.entered)
            yield seen

    @contextmanager
    def embedding(self, model: str, call: Call) -> Iterator["Embedding"]:
        """Yields what is to be told of a request for embeddings."""
        call.facts["model"] = model
        with call.span.embedding(model) as span, self._ending(span, model, call):
            yield Embedding(self.metrics, span, call, model)

    @contextmanager
    def _ending(self, span: Span, model: str, call: Call, request: GenerationRequest | None = None) -> Iterator[None]:
        """Notes a bad end."""
        try:
            yield
        except (asyncio.CancelledError, GeneratorExit):
            self._note_failure(span, model, call.cut_off_code())
            raise
        except ServiceError as error:
            self._note_failure(span, model, code_of(error))
            if reason := _refusal(error, request):
                self.metrics.rejected(model, reason)
            raise
        except Exception:
            self._note_failure(span, model, grpc.StatusCode.INTERNAL)
            raise

    def _note_failure(self, span: Span, model: str, code: grpc.StatusCode) -> None:
        span.failed(code.name)
        self.metrics.failed(model, code.name)


def _refusal(error: ServiceError, request: GenerationRequest | None) -> str | None:
    """Returns why the request was refused by the model's limits; None where it broke otherwise."""
    constraint = request.constraint if request else None
    match error:
        case OverloadedError():
            return "overloaded"
        case ContextLengthError():
            return "context_length"
        case PoisonRequestError():
            return "poison"
        case InvalidFieldError() if constraint is not None and error.field == constraint.field:
            return "constraint"
    return None


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)
