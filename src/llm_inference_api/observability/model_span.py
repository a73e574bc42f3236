"""Spans of requests to models, by OpenTelemetry's semantic conventions for generative AI.

Source: https://github.com/open-telemetry/semantic-conventions-genai. Spans never contain text of prompts or answers.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType

from opentelemetry.context import Context
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as gen_ai
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.trace import Span as Recorded
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer

from llm_inference_api.observability.spans import Span
from llm_inference_api.requests.constraint import Language
from llm_inference_api.requests.events import Stage, Usage
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.requests.step import StageEntry

_PROVIDER = "llama_cpp"
_EVENTS = {Stage.QUEUED: "queue", Stage.PREFILL: "prefill", Stage.DECODE: "decode"}
"""Name of the span event when a request enters a stage."""
_ANSWER = "llm_inference.answer"
"""Attribute of these events: index of the request's answer."""
_FAILURES = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})
"""gRPC statuses that are server errors by OpenTelemetry's conventions for gRPC."""

Value = str | int | float | bool | Sequence[str]


@dataclass(slots=True)
class ModelSpan(Span):
    """A recorded span."""

    recorded: Recorded
    _epoch: int = field(default_factory=lambda: time.time_ns() - time.monotonic_ns())
    """Unix time of the monotonic clock's zero, in nanoseconds."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """See `Span`."""
        self.recorded.end()

    def entered(self, entry: StageEntry) -> None:
        """See `Span`."""
        at = self._epoch + round(entry.at * 1e9)
        values: dict[str, Value] = {gen_ai.GEN_AI_RESPONSE_ID: entry.request_id, _ANSWER: entry.answer}
        self.recorded.add_event(_EVENTS[entry.stage], values, at)

    def first_text(self, seconds: float) -> None:
        """See `Span`."""
        self.recorded.set_attribute(gen_ai.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK, seconds)

    def ended(self, usage: Usage, finish_reasons: Sequence[str]) -> None:
        """See `Span`."""
        self.recorded.set_attributes(
            {
                gen_ai.GEN_AI_USAGE_INPUT_TOKENS: usage.prompt_tokens,
                gen_ai.GEN_AI_USAGE_OUTPUT_TOKENS: usage.completion_tokens,
                gen_ai.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS: usage.reasoning_tokens,
                gen_ai.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: usage.cached_tokens,
                gen_ai.GEN_AI_RESPONSE_FINISH_REASONS: [reason.lower() for reason in finish_reasons],
            }
        )

    def embedded(self, tokens: int) -> None:
        """See `Span`."""
        self.recorded.set_attribute(gen_ai.GEN_AI_USAGE_INPUT_TOKENS, tokens)

    def failed(self, code: str) -> None:
        """See `Span`."""
        note_failure(self.recorded, code)


def generation_span(tracer: Tracer, parent: Context, request: GenerationRequest, *, streamed: bool) -> Span:
    """Starts and returns the span of a request for text, a child of `parent`."""
    operation = "chat" if request.is_chat else "text_completion"
    return _model_span(tracer, parent, operation, request.model, _parameters(request, streamed=streamed))


def embedding_span(tracer: Tracer, parent: Context, model: str) -> Span:
    """Starts and returns the span of a request for embeddings, a child of `parent`."""
    return _model_span(tracer, parent, "embeddings", model, {})


def ranking_span(tracer: Tracer, parent: Context, model: str) -> Span:
    """Starts and returns the span of a request to rank, a child of `parent`."""
    return _model_span(tracer, parent, "rerank", model, {})


def classification_span(tracer: Tracer, parent: Context, model: str) -> Span:
    """Starts and returns the span of a request to classify, a child of `parent`."""
    return _model_span(tracer, parent, "classify", model, {})


def note_failure(span: Recorded, code: str, text: str | None = None) -> None:
    """Sets the gRPC status as `error.type`; marks the span as failed if the status is a server error."""
    span.set_attribute(ERROR_TYPE, code)
    if code in _FAILURES:
        span.set_status(Status(StatusCode.ERROR, text or code))


def _model_span(tracer: Tracer, parent: Context, operation: str, model: str, attributes: dict[str, Value]) -> Span:
    attributes |= {
        gen_ai.GEN_AI_OPERATION_NAME: operation,
        gen_ai.GEN_AI_PROVIDER_NAME: _PROVIDER,
        gen_ai.GEN_AI_REQUEST_MODEL: model,
        gen_ai.GEN_AI_RESPONSE_MODEL: model,
    }
    recorded = tracer.start_span(f"{operation} {model}", parent, SpanKind.INTERNAL, attributes)
    return ModelSpan(recorded) if recorded.is_recording() else Span()


def _parameters(request: GenerationRequest, *, streamed: bool) -> dict[str, Value]:
    how, when = request.sampling, request.stopping
    values: dict[str, Value | None] = {
        gen_ai.GEN_AI_RESPONSE_ID: request.id,
        gen_ai.GEN_AI_REQUEST_MAX_TOKENS: when.max_tokens,
        gen_ai.GEN_AI_REQUEST_STOP_SEQUENCES: when.stop or None,
        gen_ai.GEN_AI_REQUEST_TEMPERATURE: how.temperature,
        gen_ai.GEN_AI_REQUEST_TOP_P: how.top_p,
        gen_ai.GEN_AI_REQUEST_TOP_K: how.top_k or None,
        gen_ai.GEN_AI_REQUEST_SEED: how.seed,
        gen_ai.GEN_AI_REQUEST_FREQUENCY_PENALTY: how.frequency_penalty or None,
        gen_ai.GEN_AI_REQUEST_PRESENCE_PENALTY: how.presence_penalty or None,
        gen_ai.GEN_AI_REQUEST_CHOICE_COUNT: request.n if request.n > 1 else None,
        gen_ai.GEN_AI_REQUEST_STREAM: streamed or None,
        gen_ai.GEN_AI_OUTPUT_TYPE: _output_type(request),
    }
    return {name: value for name, value in values.items() if value is not None}


def _output_type(request: GenerationRequest) -> str:
    constraint = request.constraint
    return "json" if constraint is not None and constraint.language is Language.JSON_SCHEMA else "text"
