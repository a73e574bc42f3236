"""Records the outcome of requests to models, once each, in the access log, the metrics and the span."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import grpc

from llm_inference_api.errors import (
    ContextLengthError,
    InvalidFieldError,
    OverloadedError,
    PoisonRequestError,
    ServiceError,
)
from llm_inference_api.observability.metrics import Metrics
from llm_inference_api.observability.spans import Span
from llm_inference_api.requests.events import Stage, Usage
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.requests.step import StageEntry
from llm_inference_api.rpc.call import Call
from llm_inference_api.rpc.statuses import code_of


class GenerationRecord:
    """Stage times, first token and outcome of one generation."""

    def __init__(self, metrics: Metrics, span: Span, call: Call, model: str) -> None:
        self._metrics = metrics
        self._span = span
        self._call = call
        self._model = model
        self._first_at: float | None = None
        self._entries: dict[tuple[int, Stage], float] = {}

    def entered(self, entry: StageEntry) -> None:
        """Records that an answer entered a stage. The access log has the times of the first answer to enter it."""
        self._span.entered(entry)
        self._entries[entry.answer, entry.stage] = entry.at
        for stage, previous, name in _DURATIONS:
            began = self._entries.get((entry.answer, previous))
            if entry.stage is stage and began is not None:
                self._call.facts.setdefault(name, _milliseconds(entry.at - began))

    def text_arrived(self) -> None:
        """Records the time to first token (TTFT); calls after the first one have no effect."""
        if self._first_at is None:
            self._first_at = time.monotonic()
            seconds = self._first_at - self._call.started_at
            self._metrics.first_token(self._model, seconds)
            self._span.first_text(seconds)
            self._call.facts["ttft_ms"] = _milliseconds(seconds)

    def ended(self, usage: Usage, finish_reasons: Sequence[str]) -> None:
        """Records that all answers have ended.

        Args:
            usage: Total usage of the request.
            finish_reasons: One per answer, in the order in which they ended. Log and metrics have the last one.
        """
        assert self._first_at is not None
        now = time.monotonic()
        seconds = now - self._call.started_at
        self._metrics.generated(self._model, finish_reasons[-1], usage, seconds, now - self._first_at)
        self._span.ended(usage, finish_reasons)
        counts = {
            "input_tokens": usage.prompt_tokens,
            "cached_tokens": usage.cached_tokens,
            "output_tokens": usage.completion_tokens,
            **({"reasoning_tokens": usage.reasoning_tokens} if usage.reasoning_tokens else {}),
        }
        for name, count in counts.items():  # A call may have several prompts, each of which is a generation.
            self._call.facts[name] = int(str(self._call.facts.get(name, 0))) + count
        self._call.facts["finish_reason"] = finish_reasons[-1]


_DURATIONS = ((Stage.PREFILL, Stage.QUEUED, "queue_ms"), (Stage.DECODE, Stage.PREFILL, "prefill_ms"))
"""Durations for the access log: (stage entered, stage from whose entry it is measured, log field)."""


class Records:
    """Creates the records of requests to models."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics

    @contextmanager
    def generation(self, request: GenerationRequest, call: Call, *, streamed: bool) -> Iterator[GenerationRecord]:
        """Opens the span and yields the record of a generation. If the block raises, records the failure."""
        call.facts["model"] = request.model
        call.facts.setdefault("answer_id", request.id)
        span = call.span.generation(request, streamed=streamed)
        with span, self._failure(span, request.model, call, request):
            yield GenerationRecord(self.metrics, span, call, request.model)

    @contextmanager
    def embedding(self, model: str, call: Call) -> Iterator["ErrandRecord"]:
        """Opens the span and yields the record of an embedding request. If the block raises, records the failure."""
        call.facts["model"] = model
        with call.span.embedding(model) as span, self._failure(span, model, call):
            yield ErrandRecord(partial(self.metrics.embedded, model), span, call)

    @contextmanager
    def ranking(self, model: str, call: Call) -> Iterator["ErrandRecord"]:
        """Same as `embedding`, for a request to rank."""
        call.facts["model"] = model
        with call.span.ranking(model) as span, self._failure(span, model, call):
            yield ErrandRecord(partial(self.metrics.ranked, model), span, call)

    @contextmanager
    def classification(self, model: str, call: Call) -> Iterator["ErrandRecord"]:
        """Same as `embedding`, for a request to classify."""
        call.facts["model"] = model
        with call.span.classification(model) as span, self._failure(span, model, call):
            yield ErrandRecord(partial(self.metrics.classified, model), span, call)

    @contextmanager
    def _failure(self, span: Span, model: str, call: Call, request: GenerationRequest | None = None) -> Iterator[None]:
        try:
            yield
        except (asyncio.CancelledError, GeneratorExit):
            self._failed(span, model, call.cut_off_code())
            raise
        except ServiceError as error:
            self._failed(span, model, code_of(error))
            if reason := _rejection(error, request):
                self.metrics.rejected(model, reason)
            raise
        except Exception:
            self._failed(span, model, grpc.StatusCode.INTERNAL)
            raise

    def _failed(self, span: Span, model: str, code: grpc.StatusCode) -> None:
        span.failed(code.name)
        self.metrics.failed(model, code.name)


class ErrandRecord:
    """Outcome of one request for embeddings or for relevance."""

    def __init__(self, count: Callable[[int], None], span: Span, call: Call) -> None:
        self._count = count
        self._span = span
        self._call = call

    def ended(self, tokens: int) -> None:
        """Records success, with the number of input tokens."""
        self._count(tokens)
        self._span.embedded(tokens)
        self._call.facts["input_tokens"] = tokens


def _rejection(error: ServiceError, request: GenerationRequest | None) -> str | None:
    """Returns the reason label of the rejections metric; None if the error is not a rejection."""
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
