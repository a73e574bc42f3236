"""Renders Envoy's bootstrap (https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3): listeners, filters and clusters.

It is rendered because Envoy does not substitute variables in its configuration.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from llm_inference_api import headers
from llm_inference_api.config.security import LOCAL_PAGES
from llm_inference_api.envoy.apis import OLLAMA, REST, Api
from llm_inference_api.envoy.extensions import typed
from llm_inference_api.envoy.fields import fields_filter, http_methods
from llm_inference_api.envoy.guard import ANY, PagePolicy, guard_filter
from llm_inference_api.envoy.limits import (
    HANDSHAKE,
    IDLE_CONNECTION,
    MAX_BODY_BYTES,
    MAX_HEADERS_KIB,
    http2_options,
    overload_manager,
    runtime,
)
from llm_inference_api.envoy.refusals import refusal_log
from llm_inference_api.envoy.routes import OPS_CLUSTER, READY_CLUSTER, SERVICE_CLUSTER
from llm_inference_api.envoy.stats import admin_cluster, stats_listener
from llm_inference_api.envoy.tls import EdgeTls, UpstreamTls, downstream_transport, upstream_transport
from llm_inference_api.envoy.tracing import RUNTIME, TracerChoice, collector_cluster, tracing
from llm_inference_api.envoy.upstream import Upstream
from llm_inference_api.envoy.wire_errors import error_filters
from llm_inference_api.network import is_unspecified

Json = dict[str, Any]

_BUFFER_BYTES = 16 << 20
"""Maximum size of a buffered response; a page's scripts exceed Envoy's default of 1 MiB."""
_REQUEST_HEADERS = ("*", headers.AUTHORIZATION)
"""Request headers allowed by CORS: `*` is all but this one (https://fetch.spec.whatwg.org, "CORS protocol")."""
_RESPONSE_HEADERS = (
    headers.REQUEST_ID,
    headers.RETRY_AFTER,
    headers.GRPC_STATUS,
    headers.GRPC_MESSAGE,
    headers.GRPC_STATUS_DETAILS,
    headers.ANSWER_ID,
)
"""Response headers exposed by CORS."""
_ORIGINS = {ANY: ".*", LOCAL_PAGES: r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?"}
"""Regular expressions of the kinds of origins."""


@dataclass(frozen=True, slots=True)
class Sidecar:
    """Parameters of a bootstrap."""

    listen: str = "0.0.0.0"
    port: int = 8091
    upstreams: Sequence[Upstream] = (Upstream("127.0.0.1", 50051),)
    """The service's gRPC address; several for a front proxy, see `replicas.py`."""
    more_addresses: Sequence[str] = ()
    """Further addresses to listen on, at the same ports."""
    upstream_socket: str | None = None
    """Path of the service's Unix socket, used instead of `upstreams`."""
    upstream_tls: UpstreamTls | None = None
    tls: EdgeTls | None = None
    descriptor: str = "/etc/envoy/descriptor.pb"
    """Path of the descriptor set on Envoy's machine."""
    write_timeout: float = 60.0
    """Seconds that a reader has for what is left of an answer once the service has ended it."""
    pages: PagePolicy = field(default_factory=PagePolicy)
    longest_request: float = 3600.0
    """Maximum duration of a request in seconds, from which the idle timeout of streams is derived."""
    admin_port: int | None = None
    """Port of Envoy's admin interface, on the loopback address, which every user of the machine can reach; None for
    none."""
    admin_socket: str | None = None
    """Path of a Unix socket of the admin interface that only Envoy's user can reach; None for none."""
    metrics_port: int | None = None
    """Port with Envoy's own metrics, which come from its admin interface; None for none."""
    ollama_port: int | None = None
    """Port of Ollama's API; None for none."""
    access_log: bool = False
    tracer: TracerChoice | None = None


def descriptor_path() -> Path:
    """Returns the path of the descriptor set installed with the stubs."""
    return Path(str(files("llm_inference.v1").joinpath("descriptor.pb")))


def default_bootstrap() -> str:
    """Returns the bootstrap, as JSON, of a sidecar container for a service with default settings."""
    return bootstrap(replace(Sidecar(), access_log=True))


def bootstrap(sidecar: Sidecar) -> str:
    """Returns Envoy's bootstrap as JSON text."""
    return json.dumps(configuration(sidecar), indent=2) + "\n"


def configuration(sidecar: Sidecar) -> Json:
    """Returns Envoy's bootstrap as a JSON object."""
    config: Json = {
        "node": {"id": "sidecar", "cluster": "llm-inference-api"},  # Required by SDS.
        "overload_manager": overload_manager(),
        "layered_runtime": runtime(),
        "static_resources": {
            "listeners": [_listener(sidecar, REST, sidecar.port)],
            "clusters": [
                _cluster(sidecar, SERVICE_CLUSTER, health_name="live"),
                _cluster(sidecar, OPS_CLUSTER, health_name="live"),
                _cluster(sidecar, READY_CLUSTER, health_name=""),
            ],
        },
    }
    if sidecar.ollama_port is not None:
        config["static_resources"]["listeners"].append(_listener(sidecar, OLLAMA, sidecar.ollama_port))
    if sidecar.tracer is not None:
        config["static_resources"]["clusters"].append(collector_cluster(sidecar.tracer.target))
        config["layered_runtime"]["layers"].append({"name": "tracing", "static_layer": RUNTIME})
    if sidecar.admin_port is not None:
        config["admin"] = {"address": _address("127.0.0.1", sidecar.admin_port)}
    elif sidecar.admin_socket is not None:
        config["admin"] = {"address": {"pipe": {"path": sidecar.admin_socket, "mode": 0o600}}}
    if sidecar.metrics_port is not None:
        config["static_resources"]["listeners"].append(stats_listener(_listening(sidecar.listen, sidecar.metrics_port)))
        config["static_resources"]["clusters"].append(admin_cluster(config["admin"]["address"]))
    return config


def _listener(sidecar: Sidecar, api: Api, port: int) -> Json:
    manager = _connection_manager(sidecar, api)
    named = {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
    chain: Json = {"filters": [named], "transport_socket_connect_timeout": HANDSHAKE}
    if sidecar.tls is not None:
        chain["transport_socket"] = downstream_transport(sidecar.tls)
    return {
        "name": api.listener,
        "address": _listening(sidecar.listen, port),
        "additional_addresses": [{"address": _listening(address, port)} for address in sidecar.more_addresses],
        "enable_reuse_port": False,  # With it, two Envoys on one port would silently share connections.
        "per_connection_buffer_limit_bytes": MAX_BODY_BYTES + (1 << 20),
        "filter_chains": [chain],
    }


def _connection_manager(sidecar: Sidecar, api: Api) -> Json:
    silence = f"{sidecar.longest_request + 60:g}s"
    return typed(
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=api.statistics,
        codec_type="AUTO",
        server_header_transformation="PASS_THROUGH",
        use_remote_address=True,
        preserve_external_request_id=True,
        always_set_request_id_in_response=True,
        # The service identifies callers by this header (XFCC); a client's own value is dropped.
        forward_client_cert_details="SANITIZE_SET",
        set_current_client_cert_details={"cert": True},
        normalize_path=True,
        merge_slashes=True,
        path_with_escaped_slashes_action="KEEP_UNCHANGED",  # Clients may escape the slashes in model ids.
        stream_idle_timeout=silence,
        stream_flush_timeout=f"{sidecar.write_timeout:g}s",
        request_headers_timeout="10s",
        request_timeout="60s",  # Limits the upload of the body.
        common_http_protocol_options={
            "idle_timeout": IDLE_CONNECTION,
            "headers_with_underscores_action": "REJECT_REQUEST",
        },
        max_request_headers_kb=MAX_HEADERS_KIB,
        # nginx' proxy_pass, ab and some probes speak it by default, without the header `host` at times.
        http_protocol_options={"accept_http_10": True, "default_host_for_http_10": "localhost"},
        http2_protocol_options=http2_options(),
        access_log=[_access_log() if sidecar.access_log else refusal_log()],
        local_reply_config=api.replies(),
        route_config={
            "name": api.listener,
            "request_headers_to_add": [_caller_address()],
            "response_headers_to_remove": ["grpc-accept-encoding", "x-envoy-upstream-service-time"],
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "typed_per_filter_config": {
                        "envoy.filters.http.cors": _cors_policy(sidecar.pages.origins, api.services)
                    },
                    "routes": api.routes(),
                }
            ],
        },
        http_filters=_filters(sidecar, api),
        **({"tracing": tracing(sidecar.tracer)} if sidecar.tracer else {}),
    )


def _caller_address() -> Json:
    """Overwrites the caller's address; not `x-forwarded-for`, which has this machine's address for loopback callers."""
    header = {"key": headers.CALLER_ADDRESS, "value": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}
    return {"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _access_log() -> Json:
    line = {
        "timestamp": "%START_TIME%",
        "method": "%REQ(X-ENVOY-ORIGINAL-METHOD?:METHOD)%",
        "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
        "status": "%RESPONSE_CODE%",
        "grpc_status": "%GRPC_STATUS%",
        "flags": "%RESPONSE_FLAGS%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "upstream": "%UPSTREAM_HOST%",
        "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
        "duration_ms": "%DURATION%",
        "first_byte_ms": "%RESPONSE_DURATION%",
        "bytes_received": "%BYTES_RECEIVED%",
        "bytes_sent": "%BYTES_SENT%",
        "request_id": f"%REQ({headers.REQUEST_ID.upper()})%",
        "traceparent": f"%REQ({headers.TRACEPARENT.upper()})%",
    }
    config = typed("extensions.access_loggers.stream.v3.StdoutAccessLog", log_format={"json_format": line})
    return {"name": "envoy.access_loggers.stdout", "typed_config": config}


def _cors_policy(origins: Sequence[str], services: Sequence[str]) -> Json:
    allowed = [{"safe_regex": {"regex": _ORIGINS.get(origin.lower()) or re.escape(origin)}} for origin in origins]
    verbs = http_methods(descriptor_path(), services)
    return typed(
        "extensions.filters.http.cors.v3.CorsPolicy",
        allow_origin_string_match=allowed,
        allow_methods=", ".join((*verbs, "OPTIONS")),
        allow_headers=", ".join(_REQUEST_HEADERS),
        expose_headers=", ".join(_RESPONSE_HEADERS),
        max_age="86400",
    )


def _filters(sidecar: Sidecar, api: Api) -> list[Json]:
    """Returns the HTTP filters; requests pass them in this order, responses in reverse."""
    http = "extensions.filters.http"
    probes = {"/health/live": OPS_CLUSTER, "/health/ready": READY_CLUSTER, "/health": READY_CLUSTER}
    return [
        {"name": "envoy.filters.http.cors", "typed_config": typed(f"{http}.cors.v3.Cors")},
        *(_health_filter(*probe) for probe in probes.items() if api.has_health),
        guard_filter(sidecar.pages),
        {"name": "envoy.filters.http.lua", "typed_config": typed(f"{http}.lua.v3.Lua")},
        {"name": "strip", "typed_config": typed(f"{http}.header_mutation.v3.HeaderMutation")},
        {"name": "envoy.filters.http.compressor", "typed_config": _compressor()},
        *error_filters(),
        {
            "name": "envoy.filters.http.body_size_limit",
            "typed_config": typed(f"{http}.body_size_limit.v3.BodySizeLimit", max_request_bytes=MAX_BODY_BYTES),
        },
        fields_filter(descriptor_path(), api.services),
        {
            "name": "envoy.filters.http.connect_grpc_bridge",
            "typed_config": typed(f"{http}.connect_grpc_bridge.v3.FilterConfig"),
        },
        {"name": "envoy.filters.http.grpc_web", "typed_config": typed(f"{http}.grpc_web.v3.GrpcWeb")},
        {
            "name": "envoy.filters.http.grpc_json_transcoder",
            "typed_config": _transcoder(sidecar.descriptor, api.services),
        },
        {"name": "envoy.filters.http.router", "typed_config": typed(f"{http}.router.v3.Router")},
    ]


def _health_filter(path: str, cluster: str) -> Json:
    config = typed(
        "extensions.filters.http.health_check.v3.HealthCheck",
        pass_through_mode=False,
        headers=[
            {"name": ":path", "string_match": {"exact": path}},
            {"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD"}}},
        ],
        cluster_min_healthy_percentages={cluster: {"value": 1}},
    )
    return {"name": f"health{path.replace('/', '-')}", "typed_config": config}


def _compressor() -> Json:
    kinds = ("application/json", "text/html", "text/css", "text/javascript", "image/svg+xml", "text/plain")
    matcher = [{"prefix": kind} for kind in kinds]
    common = {"min_content_length": 1024, "content_type_matcher": matcher}
    gzip = {"name": "gzip", "typed_config": typed("extensions.compression.gzip.compressor.v3.Gzip")}
    return typed(
        "extensions.filters.http.compressor.v3.Compressor",
        response_direction_config={"common_config": common},
        compressor_library=gzip,
    )


def _transcoder(descriptor: str, services: Sequence[str]) -> Json:
    return typed(
        "extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        proto_descriptor=descriptor,
        services=list(services),
        convert_grpc_status=True,
        match_incoming_request_route=True,
        url_unescape_spec="ALL_CHARACTERS",
        query_param_unescape_plus=True,
        case_insensitive_enum_parsing=True,
        print_options={
            "always_print_primitive_fields": True,
            "preserve_proto_field_names": True,
            "stream_sse_style_delimited": True,
        },
        request_validation_options={
            "reject_unknown_method": True,
            "reject_unknown_query_parameters": True,
            "reject_binding_body_field_collisions": True,
        },
        max_request_body_size=MAX_BODY_BYTES + (64 << 10),
        max_response_body_size=_BUFFER_BYTES,
    )


def _cluster(sidecar: Sidecar, name: str, health_name: str) -> Json:
    addresses = [_address(*upstream) for upstream in sidecar.upstreams]
    if sidecar.upstream_socket is not None:
        addresses = [{"pipe": {"path": sidecar.upstream_socket}}]
    endpoints = [{"endpoint": {"address": address}} for address in addresses]
    check = {
        "timeout": "5s",
        "interval": "1s",
        "no_traffic_interval": "1s",
        "unhealthy_interval": "0.5s",
        # There is no other service to turn to, and one that is gone refuses connections: only a hang takes this long.
        # NOT_SERVING takes effect at once.
        "unhealthy_threshold": 3,
        "healthy_threshold": 1,
        "grpc_health_check": {"service_name": health_name},
    }
    # Without hpack_table_size: gRPC ends a call at its deadline with a header block that does not acknowledge a smaller
    # table, and where that is the connection's first, Envoy closes the connection with all of its calls.
    options = {"connection_keepalive": {"interval": "30s", "timeout": "20s"}}
    http2 = typed(
        "extensions.upstreams.http.v3.HttpProtocolOptions",
        explicit_http_config={"http2_protocol_options": options},
    )
    has_name = sidecar.upstream_socket is None and any(upstream.is_name for upstream in sidecar.upstreams)
    cluster: Json = {
        "name": name,
        "type": "STRICT_DNS" if has_name else "STATIC",
        "connect_timeout": "5s",
        "per_connection_buffer_limit_bytes": _BUFFER_BYTES,
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},  # Never route to an unhealthy service.
        "circuit_breakers": {"thresholds": [{"max_pending_requests": 4096, "max_requests": 4096}]},
        "health_checks": [check],
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
    }
    if sidecar.upstream_tls is not None:
        cluster["transport_socket"] = upstream_transport(sidecar.upstream_tls)
    return cluster


def _listening(address: str, port: int) -> Json:
    place = _address(address, port)
    if is_unspecified(address) and ":" in address:
        place["socket_address"]["ipv4_compat"] = True  # As gRPC's server does.
    return place


def _address(host: str, port: int) -> Json:
    return {"socket_address": {"address": host, "port_value": port}}
