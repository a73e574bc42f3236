"""Exports spans to a collector; logs once when exports begin to fail, and once when they succeed again."""

import logging
from collections.abc import Callable, Sequence

from opentelemetry.exporter.otlp.proto.grpc import exporter as grpc_exporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import trace_exporter as http_exporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk import _shared_internal as processor
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from llm_inference_api.observability.otlp import TRACES_PATH, OtlpTarget

_NOISY = tuple(logging.getLogger(module.__name__) for module in (grpc_exporter, http_exporter, processor))
"""OpenTelemetry's loggers that log every failed attempt, and every span dropped from a full queue."""

logger = logging.getLogger(__name__)


def exporter_for(target: OtlpTarget) -> SpanExporter:
    """Returns the exporter to a collector; it reads timeout, compression and certificates from OTEL_* variables."""
    headers = dict(target.headers)
    if target.protocol == "grpc":
        return GrpcExporter(endpoint=target.endpoint, insecure=target.endpoint.startswith("http://"), headers=headers)
    return HttpExporter(endpoint=target.endpoint.rstrip("/") + TRACES_PATH, headers=headers)


class Delivery(SpanExporter):
    """Wraps an exporter; replaces its log lines by one for each change between failure and success."""

    def __init__(self, exporter: SpanExporter, endpoint: str, on_lost: Callable[[int], None]) -> None:
        """Wraps the exporter.

        Args:
            exporter: The exporter.
            endpoint: The collector's address, for the log.
            on_lost: Called with the number of spans of each failed export.
        """
        self._exporter = exporter
        self._endpoint = endpoint
        self._on_lost = on_lost
        self._lost = 0
        """Spans lost since the last successful export."""
        self._reason = ""
        self._closed = False
        for noisy in _NOISY:
            noisy.addFilter(self._filter)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Exports the spans. Blocks for the exporter's timeout at most; returns SUCCESS or FAILURE."""
        self._reason = ""
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            self._note_success()
        else:
            self._note_failure(len(spans))
        return result

    @property
    def failing(self) -> bool:
        """Whether the last export failed."""
        return self._lost > 0

    def shutdown(self) -> None:
        """Aborts a running export and closes the exporter."""
        if not self._closed:
            self._closed = True
            self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - OpenTelemetry passes it
        """Returns True: nothing is buffered here."""
        return True

    def _note_success(self) -> None:
        if self._lost:
            logger.info("traces reach %s again; %d spans were lost", self._endpoint, self._lost)
            self._lost = 0

    def _note_failure(self, spans: int) -> None:
        if not self._lost:
            logger.warning("traces do not reach %s and are lost: %s", self._endpoint, self._reason)
        self._lost += spans
        self._on_lost(spans)

    def _filter(self, record: logging.LogRecord) -> bool:
        """Drops the exporter's log lines; keeps the first one of each export as the reason of its failure."""
        if record.name == processor.__name__ and not self._lost:
            return True  # The queue is full although exports succeed: too many spans.
        self._reason = self._reason or record.getMessage()
        return False
