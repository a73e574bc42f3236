"""Envoy's limits (https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/best_practices/edge)."""

from typing import Any

from llm_inference_api.envoy.extensions import typed

Json = dict[str, Any]

BUFFER_BYTES = 16 << 20
"""Maximum size of a buffered response; a page's scripts exceed Envoy's default of 1 MiB."""
MAX_BODY_BYTES = 4 << 20
"""Maximum size of a request's body; must be below the server's gRPC message limit."""
MAX_HEADERS_KIB = 8
"""Maximum size of a request's headers; with Envoy's additions, must be below the server's gRPC metadata limit."""
IDLE_CONNECTION = "300s"
"""Idle timeout of a connection without requests."""
HANDSHAKE = "10s"
"""Timeout of a TLS handshake."""
_MAX_CONNECTIONS = 4096
MAX_HEAP_BYTES = 2 << 30
"""Heap of the Envoy process; a container's memory limit must be above it."""
_MAX_STREAMS = 256
"""Concurrent streams per HTTP/2 connection; clients queue further ones."""


def overload_manager() -> Json:
    """Returns the overload manager: a connection limit, and load shedding by heap size."""
    resources = "extensions.resource_monitors"
    connections = typed(
        f"{resources}.downstream_connections.v3.DownstreamConnectionsConfig",
        max_active_downstream_connections=_MAX_CONNECTIONS,
    )
    heap = typed(f"{resources}.fixed_heap.v3.FixedHeapConfig", max_heap_size_bytes=MAX_HEAP_BYTES)
    return {
        "refresh_interval": "0.25s",
        "resource_monitors": [
            {"name": "envoy.resource_monitors.global_downstream_max_connections", "typed_config": connections},
            {"name": "envoy.resource_monitors.fixed_heap", "typed_config": heap},
        ],
        "actions": [
            _action("shrink_heap", 0.9),
            _action("stop_accepting_requests", 0.95),
            _action("stop_accepting_connections", 0.98),
        ],
    }


def http2_options() -> Json:
    """Returns the limits of one HTTP/2 connection of a client."""
    return {
        "max_concurrent_streams": _MAX_STREAMS,
        "initial_stream_window_size": 64 << 10,
        "initial_connection_window_size": 1 << 20,
    }


def runtime() -> Json:
    """Returns the options that Envoy has as runtime keys only."""
    # Keeps one connection's flood of requests from starving others.
    layer = {"name": "static", "static_layer": {"http.max_requests_per_io_cycle": 1}}
    return {"layers": [layer]}


def _action(name: str, threshold: float) -> Json:
    trigger = {"name": "envoy.resource_monitors.fixed_heap", "threshold": {"value": threshold}}
    return {"name": f"envoy.overload_actions.{name}", "triggers": [trigger]}
