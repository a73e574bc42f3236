"""Spans of RPCs, by OpenTelemetry's semantic conventions for RPC systems.

Attribute names are those of opentelemetry-instrumentation-grpc, so that the same queries find its servers and ours. Its
server interceptor (version 0.66b2) is not used, because it

- reports calls that were cancelled, timed out or raised as OK: only `abort` sets a status;
- ends the span of a cancelled stream before the handler ends: the generator is left to the garbage collector, and the
  context is detached in a task other than the one that attached it, which OpenTelemetry logs as an error;
- records `abort` as two exception events;
- breaks handlers that write to the context instead of yielding.
"""

from collections.abc import Mapping
from urllib.parse import unquote

from opentelemetry.context import Context
from opentelemetry.propagate import extract
from opentelemetry.semconv._incubating.attributes import net_attributes as net
from opentelemetry.semconv._incubating.attributes import rpc_attributes as rpc
from opentelemetry.trace import Span as Recorded
from opentelemetry.trace import SpanKind, Tracer, format_span_id, format_trace_id, set_span_in_context

from llm_inference_api.observability.model_span import (
    classification_span,
    embedding_span,
    generation_span,
    note_failure,
    ranking_span,
)
from llm_inference_api.observability.spans import RpcSpan, Span, Trace
from llm_inference_api.requests.request import GenerationRequest

_OK = "OK"
_USER_AGENT = "rpc.user_agent"
_UNIX = "unix:"
_LOCAL = ("127.0.0.1", "[::1]")


class RecordedRpcSpan(RpcSpan):
    """A recorded span of an RPC.

    Child spans get their parent explicitly rather than from the current context, because a cancelled stream is closed
    in a different task.
    """

    def __init__(self, tracer: Tracer, recorded: Recorded) -> None:
        ids = recorded.get_span_context()
        super().__init__(Trace(format_trace_id(ids.trace_id), format_span_id(ids.span_id)))
        self._tracer = tracer
        self._recorded = recorded

    def generation(self, request: GenerationRequest, *, streamed: bool) -> Span:
        """See `RpcSpan`."""
        return generation_span(self._tracer, self._as_parent(), request, streamed=streamed)

    def embedding(self, model: str) -> Span:
        """See `RpcSpan`."""
        return embedding_span(self._tracer, self._as_parent(), model)

    def ranking(self, model: str) -> Span:
        """See `RpcSpan`."""
        return ranking_span(self._tracer, self._as_parent(), model)

    def classification(self, model: str) -> Span:
        """See `RpcSpan`."""
        return classification_span(self._tracer, self._as_parent(), model)

    def ended(self, code: str, number: int, error: str | None) -> None:
        """See `RpcSpan`."""
        self._recorded.set_attribute(rpc.RPC_GRPC_STATUS_CODE, number)
        if code != _OK:
            note_failure(self._recorded, code, error)
        self._recorded.end()

    def _as_parent(self) -> Context:
        return set_span_in_context(self._recorded, Context())


def begin(tracer: Tracer, method: str, metadata: Mapping[str, str], peer: str, request_id: str) -> RecordedRpcSpan:
    """Starts and returns the span of an RPC, in the caller's trace if the metadata has one. See `Spans.rpc`."""
    service, _, name = method.lstrip("/").partition("/")
    attributes = {
        rpc.RPC_SYSTEM: "grpc",
        rpc.RPC_SERVICE: service,
        rpc.RPC_METHOD: name,
        f"{rpc.RPC_REQUEST_METADATA_TEMPLATE}.x-request-id": [request_id],
        **({_USER_AGENT: metadata["user-agent"]} if "user-agent" in metadata else {}),
        **_address(peer),
    }
    # `extract` reads W3C trace context unless OTEL_PROPAGATORS selects another format.
    recorded = tracer.start_span(method, extract(metadata), SpanKind.SERVER, attributes)
    return RecordedRpcSpan(tracer, recorded)


def _address(peer: str) -> dict[str, str]:
    """Returns the attributes of a peer such as `ipv4:127.0.0.1:57284` or `ipv6:%5B::1%5D:57284`; none for `unix:`."""
    if peer.startswith(_UNIX):
        return {}
    address, _, port = peer.partition(":")[2].rpartition(":")
    address = unquote(address)
    local = {net.NET_PEER_NAME: "localhost"} if address in _LOCAL else {}
    return {net.NET_PEER_IP: address, net.NET_PEER_PORT: port, **local}
