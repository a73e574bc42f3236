"""Records spans and exports them to an OTLP collector."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider, sampling
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from llm_inference_api import __version__
from llm_inference_api.observability import rpc_span
from llm_inference_api.observability.delivery import Delivery, exporter_for
from llm_inference_api.observability.otlp import OtlpTarget
from llm_inference_api.observability.spans import RpcSpan, Spans

_LAST_EXPORT = 2.0
"""Time limit, in seconds, of the last export when the service stops."""
_TRACED = "/llm_inference."
"""Prefix of the methods that are traced. Health checks and reflection are not."""
_NOT_TRACED = frozenset({"/llm_inference.web.v1.OperationsService/GetMetrics"})
"""Prometheus polls it."""


@dataclass(frozen=True, slots=True)
class TraceChoice:
    """Tracing options."""

    target: OtlpTarget
    service_name: str
    sampled: float = 1.0
    """Sampled fraction of traces that begin here, 0 to 1; for others the caller's decision applies."""


class Tracing(Spans):
    """Records spans; a background thread exports them, so requests never wait for the collector."""

    def __init__(self, choice: TraceChoice, on_lost: Callable[[int], None]) -> None:
        """Sets up the exporter. `on_lost` is called with the number of spans of each failed export."""
        self._delivery = Delivery(exporter_for(choice.target), choice.target.endpoint, on_lost)
        resource = Resource.create({SERVICE_NAME: choice.service_name, SERVICE_VERSION: __version__})
        sampler = sampling.ParentBased(sampling.TraceIdRatioBased(choice.sampled))
        self.provider = TracerProvider(sampler=sampler, resource=resource, shutdown_on_exit=False)
        self.provider.add_span_processor(BatchSpanProcessor(self._delivery))
        self._tracer = self.provider.get_tracer("llm_inference_api", __version__)

    def rpc(self, method: str, metadata: Mapping[str, str], peer: str, request_id: str) -> RpcSpan:
        """See `Spans`."""
        if not method.startswith(_TRACED) or method in _NOT_TRACED:
            return super().rpc(method, metadata, peer, request_id)
        return rpc_span.begin(self._tracer, method, metadata, peer, request_id)

    def close(self) -> None:
        """See `Spans`."""
        if self._delivery.failing:
            self._delivery.shutdown()
        thread = threading.Thread(target=self.provider.shutdown, name="last-spans", daemon=True)
        thread.start()
        thread.join(_LAST_EXPORT)
        self._delivery.shutdown()
