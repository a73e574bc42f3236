"""Envoy's tracing: a span per request, the parent of the service's span, exported to the same collector."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from llm_inference_api.config.addresses import is_ip
from llm_inference_api.config.settings import Settings
from llm_inference_api.envoy.extensions import typed
from llm_inference_api.observability.otlp import TRACES_PATH, OtlpTarget

Json = dict[str, Any]

COLLECTOR_CLUSTER = "collector"
_TIMEOUT = "5s"
_WAITING_SPANS = 2048
"""Maximum number of buffered spans; the default of the service's BatchSpanProcessor."""
RUNTIME = {"tracing.opentelemetry.min_flush_spans": 512, "tracing.opentelemetry.flush_interval_ms": 1000}
"""Batching of exports; by default Envoy exports every five spans."""
_PORTS = {"http": 80, "https": 443}
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
"""CA bundle of Debian's `ca-certificates`; also in Envoy's image."""


@dataclass(frozen=True, slots=True)
class TracerChoice:
    """Options of Envoy's tracing."""

    target: OtlpTarget
    service_name: str
    sampled: float
    """Sampled fraction of traces that begin in Envoy, 0 to 1."""


def tracer_choice(settings: Settings) -> TracerChoice | None:
    """Returns the tracing options of the settings; None without tracing."""
    target = settings.otlp_target
    if target is None:
        return None
    return TracerChoice(target, f"{settings.service_name}-envoy", settings.sampled)


def tracing(choice: TracerChoice) -> Json:
    """Returns the `tracing` of a connection manager."""
    target = choice.target
    config = typed(
        "config.trace.v3.OpenTelemetryConfig",
        service_name=choice.service_name,
        max_cache_size=_WAITING_SPANS,
        sampler=_sampler(choice.sampled),
        **(_grpc_service(target) if target.protocol == "grpc" else _http_service(target)),
    )
    return {
        "provider": {"name": "envoy.tracers.opentelemetry", "typed_config": config},
        "operation": "%REQ(X-ENVOY-ORIGINAL-METHOD?:METHOD)% %ROUTE_NAME%",
    }


def _sampler(sampled: float) -> Json:
    """Returns the service's sampler: the caller's decision if there is one, else a random fraction.

    Envoy's own `random_sampling` would override the caller's decision.
    """
    part = {"numerator": round(sampled * 1_000_000), "denominator": "MILLION"}
    chance = _extension("trace_id_ratio_based", "TraceIdRatioBased", sampling_percentage=part)
    return _extension("parent_based", "ParentBased", wrapped_sampler=chance)


def _extension(name: str, kind: str, **fields: Any) -> Json:
    config = typed(f"extensions.tracers.opentelemetry.samplers.v3.{kind}SamplerConfig", **fields)
    return {"name": f"envoy.tracers.opentelemetry.samplers.{name}", "typed_config": config}


def _grpc_service(target: OtlpTarget) -> Json:
    headers = [{"key": name, "value": value} for name, value in target.headers.items()]
    service = {"envoy_grpc": {"cluster_name": COLLECTOR_CLUSTER}, "timeout": _TIMEOUT, "initial_metadata": headers}
    return {"grpc_service": service}


def _http_service(target: OtlpTarget) -> Json:
    headers = [{"header": {"key": name, "value": value}} for name, value in target.headers.items()]
    uri = {"uri": target.endpoint.rstrip("/") + TRACES_PATH, "cluster": COLLECTOR_CLUSTER, "timeout": _TIMEOUT}
    return {"http_service": {"http_uri": uri, "request_headers_to_add": headers}}


def collector_cluster(target: OtlpTarget) -> Json:
    """Returns the cluster of the collector."""
    address = urlsplit(target.endpoint)
    socket = {"address": address.hostname, "port_value": address.port or _PORTS[address.scheme]}
    cluster: Json = {
        "name": COLLECTOR_CLUSTER,
        "type": "STATIC" if is_ip(str(address.hostname)) else "STRICT_DNS",
        "wait_for_warm_on_init": False,  # Else Envoy listens only once the collector's name is resolved.
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": COLLECTOR_CLUSTER,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": socket}}}]}],
        },
    }
    if target.protocol == "grpc":
        http2 = typed(
            "extensions.upstreams.http.v3.HttpProtocolOptions", explicit_http_config={"http2_protocol_options": {}}
        )
        name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
        cluster["typed_extension_protocol_options"] = {name: http2}
    if address.scheme == "https":
        cluster["transport_socket"] = _tls(address)
    return cluster


def _tls(address: SplitResult) -> Json:
    names = [{"san_type": "DNS", "matcher": {"exact": address.hostname}}]
    validation = {"trusted_ca": {"filename": _CERTIFICATES}, "match_typed_subject_alt_names": names}
    config = typed(
        "extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        sni=address.hostname,
        common_tls_context={"validation_context": validation},
    )
    return {"name": "envoy.transport_sockets.tls", "typed_config": config}
