"""Envoy's own metrics: a port that serves them, and nothing else of the admin interface."""

from typing import Any

from llm_inference_api.envoy.extensions import typed

Json = dict[str, Any]

ADMIN_CLUSTER = "admin"
STATS_LISTENER = "metrics"
_ROUTER = typed("extensions.filters.http.router.v3.Router")


def stats_listener(address: Json) -> Json:
    """Returns the listener whose `/metrics` has Envoy's metrics in Prometheus's text format."""
    route = {
        "match": {"path": "/metrics"},
        "route": {"cluster": ADMIN_CLUSTER, "prefix_rewrite": "/stats/prometheus"},
    }
    manager = typed(
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=STATS_LISTENER,
        route_config={"virtual_hosts": [{"name": STATS_LISTENER, "domains": ["*"], "routes": [route]}]},
        http_filters=[{"name": "envoy.filters.http.router", "typed_config": _ROUTER}],
    )
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    return {"name": STATS_LISTENER, "address": address, "filter_chains": [chain]}


def admin_cluster(address: Json) -> Json:
    """Returns the cluster of Envoy's admin interface at this address."""
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    assignment = {"cluster_name": ADMIN_CLUSTER, "endpoints": endpoints}
    return {"name": ADMIN_CLUSTER, "type": "STATIC", "load_assignment": assignment}
