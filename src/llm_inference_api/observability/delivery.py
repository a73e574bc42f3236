"""The way of spans to a collector that may be away: it is said once that it is, and once that it is back."""

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

_TALKATIVE = tuple(logging.getLogger(module.__name__) for module in (grpc_exporter, http_exporter, processor))
"""They log each try that fails, and spans that find the queue full."""

logger = logging.getLogger(__name__)


def exporter_for(target: OtlpTarget) -> SpanExporter:
    """Returns what sends spans; timeout, compression and certificates are OpenTelemetry's own variables."""
    headers = dict(target.headers)
    if target.protocol == "grpc":
        return GrpcExporter(endpoint=target.endpoint, insecure=target.endpoint.startswith("http://"), headers=headers)
    return HttpExporter(endpoint=target.endpoint.rstrip("/") + TRACES_PATH, headers=headers)


class Delivery(SpanExporter):
    """Hands spans to an exporter, and tells the log when that begins and ceases to fail."""

    def __init__(self, exporter: SpanExporter, endpoint: str, on_lost: Callable[[int], None]) -> None:
        """Calls `on_lost` with the number of spans that could not be delivered."""
        self._exporter = exporter
        self._endpoint = endpoint
        self._on_lost = on_lost
        self._lost = 0
        """Spans since the collector took the last ones."""
        self._reason = ""
        self._closed = False
        for talkative in _TALKATIVE:
            talkative.addFilter(self._listen)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Returns whether the collector has taken the spans; tries for some seconds."""
        self._reason = ""
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            self._note_success()
        else:
            self._note_failure(len(spans))
        return result

    @property
    def failing(self) -> bool:
        """Whether the collector did not take the last spans."""
        return self._lost > 0

    def shutdown(self) -> None:
        """Breaks off what is under way."""
        if not self._closed:
            self._closed = True
            self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - OpenTelemetry passes it
        """Returns True: nothing is kept here."""
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

    def _listen(self, record: logging.LogRecord) -> bool:
        """Keeps the exporter's lines from the log; the first of each export is the reason, others say what it tried."""
        if record.name == processor.__name__ and not self._lost:
            return True  # The queue is full although the collector answers: there are too many spans.
        self._reason = self._reason or record.getMessage()
        return False
