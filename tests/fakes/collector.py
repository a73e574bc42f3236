"""A collector of traces: it takes what OTLP sends, over gRPC and over HTTP."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as wire
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as wire_grpc
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

ERROR = 2
"""STATUS_CODE_ERROR of a span's status (trace.proto)."""


@dataclass(frozen=True)
class Seen:
    """A span that arrived."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    start: int
    """Nanoseconds since 1970-01-01 UTC."""
    end: int
    failed: bool
    attributes: dict[str, Any]
    events: list[tuple[str, int]]
    """Name and time of each."""
    raw: Span = field(repr=False)


class Collector:
    """What arrived, for tests to wait for."""

    def __init__(self) -> None:
        self.port = 0
        self.headers: list[dict[str, str]] = []
        """Of each export."""
        self._spans: list[Seen] = []
        self._arrived = threading.Condition()

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def take(self, request: wire.ExportTraceServiceRequest, headers: dict[str, str]) -> None:
        """Keeps the spans of an export."""
        with self._arrived:
            self.headers.append(headers)
            for of_service in request.resource_spans:
                service = _values(of_service.resource.attributes)["service.name"]
                for scope in of_service.scope_spans:
                    self._spans += [_seen(service, span) for span in scope.spans]
            self._arrived.notify_all()

    def spans(self, trace_id: str = "") -> list[Seen]:
        """Returns the spans of a trace, or of all, that have arrived, in the order in which they began."""
        with self._arrived:
            return sorted((span for span in self._spans if trace_id in span.trace_id), key=lambda span: span.start)

    def wait_for(self, count: int, trace_id: str = "", seconds: float = 20.0) -> list[Seen]:
        """Returns the spans of a trace once there are so many; fails when that takes too long."""
        deadline = time.monotonic() + seconds
        with self._arrived:
            while len([span for span in self._spans if trace_id in span.trace_id]) < count:
                left = deadline - time.monotonic()
                assert left > 0, f"{[(span.service, span.name) for span in self.spans(trace_id)]} after {seconds} s"
                self._arrived.wait(left)
        return self.spans(trace_id)


class _Servicer(wire_grpc.TraceServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC names it
        self._collector.take(request, dict(context.invocation_metadata()))
        return wire.ExportTraceServiceResponse()


@contextmanager
def grpc_collector(port: int = 0) -> Iterator[Collector]:
    """Yields a collector that listens with gRPC."""
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(2))
    wire_grpc.add_TraceServiceServicer_to_server(_Servicer(collector), server)
    collector.port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield collector
    finally:
        server.stop(0).wait()


@contextmanager
def http_collector() -> Iterator[Collector]:
    """Yields a collector that listens with HTTP."""
    collector = Collector()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(collector.take))
    collector.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(take: Callable[[wire.ExportTraceServiceRequest, dict[str, str]], None]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = b"".join(self.chunks())
            if self.path == "/v1/traces":
                headers = {name.lower(): value for name, value in self.headers.items()}
                take(wire.ExportTraceServiceRequest.FromString(body), headers)
            self.send_response(200 if self.path == "/v1/traces" else 404)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def chunks(self) -> Iterator[bytes]:
            """Yields the body; Envoy sends it in chunks, which the server leaves to its handler."""
            if "content-length" in self.headers:
                yield self.rfile.read(int(self.headers["content-length"]))
                return
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


def _seen(service: str, span: Span) -> Seen:
    return Seen(
        service=service,
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        failed=span.status.code == ERROR,
        attributes=_values(span.attributes),
        events=[(event.name, event.time_unix_nano) for event in span.events],
        raw=span,
    )


def _values(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair) for pair in pairs}


def _value(pair: KeyValue) -> Any:
    return _plain(pair.value)


def _plain(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(item) for item in value.array_value.values]
    return getattr(value, kind) if kind else None
