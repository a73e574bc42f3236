"""Envoy's clusters of the service: connections to it, and checks of its health."""

from typing import Any

from llm_inference_api.envoy.addresses import address
from llm_inference_api.envoy.extensions import typed
from llm_inference_api.envoy.limits import BUFFER_BYTES
from llm_inference_api.envoy.sidecar import Sidecar
from llm_inference_api.envoy.tls import upstream_transport

Json = dict[str, Any]


def service_cluster(sidecar: Sidecar, name: str, health_name: str) -> Json:
    """Returns a cluster of the service (config.cluster.v3.Cluster), whose health is that of the name."""
    places = [address(*upstream) for upstream in sidecar.upstreams]
    if sidecar.upstream_socket is not None:
        places = [{"pipe": {"path": sidecar.upstream_socket}}]
    endpoints = [{"endpoint": {"address": place}} for place in places]
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
        "per_connection_buffer_limit_bytes": BUFFER_BYTES,
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},  # Never route to an unhealthy service.
        "circuit_breakers": {"thresholds": [{"max_pending_requests": 4096, "max_requests": 4096}]},
        "health_checks": [check],
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
    }
    if sidecar.upstream_tls is not None:
        cluster["transport_socket"] = upstream_transport(sidecar.upstream_tls)
    return cluster
