"""Envoy's listeners: connections, timeouts of requests and streams, headers, access log."""

import re
from collections.abc import Sequence
from typing import Any

from llm_inference_api import headers
from llm_inference_api.config.security import LOCAL_PAGES
from llm_inference_api.envoy.addresses import listening
from llm_inference_api.envoy.apis import Api
from llm_inference_api.envoy.extensions import typed
from llm_inference_api.envoy.fields import http_methods
from llm_inference_api.envoy.guard import ANY
from llm_inference_api.envoy.http_filters import http_filters
from llm_inference_api.envoy.limits import HANDSHAKE, IDLE_CONNECTION, MAX_BODY_BYTES, MAX_HEADERS_KIB, http2_options
from llm_inference_api.envoy.refusals import refusal_log
from llm_inference_api.envoy.sidecar import Sidecar, descriptor_path
from llm_inference_api.envoy.tls import downstream_transport
from llm_inference_api.envoy.tracing import tracing

Json = dict[str, Any]

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


def listener(sidecar: Sidecar, api: Api, port: int) -> Json:
    """Returns the listener of an API (config.listener.v3.Listener)."""
    manager = _connection_manager(sidecar, api)
    named = {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
    chain: Json = {"filters": [named], "transport_socket_connect_timeout": HANDSHAKE}
    if sidecar.tls is not None:
        chain["transport_socket"] = downstream_transport(sidecar.tls)
    return {
        "name": api.listener,
        "address": listening(sidecar.listen, port),
        "additional_addresses": [{"address": listening(address, port)} for address in sidecar.more_addresses],
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
        http_filters=http_filters(sidecar, api),
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
