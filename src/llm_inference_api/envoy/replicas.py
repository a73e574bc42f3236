"""Bootstrap of a front proxy of several replicas: a sidecar's with affinity, outlier ejection, retries and DNS.

The constants were chosen by measurement, see benchmarks/README.md.
"""

import json
from importlib.resources import files
from typing import Any

from llm_inference_api import headers
from llm_inference_api.envoy.bootstrap import configuration
from llm_inference_api.envoy.extensions import typed
from llm_inference_api.envoy.routes import OPS_CLUSTER, READY_CLUSTER, SERVICE_CLUSTER
from llm_inference_api.envoy.sidecar import Sidecar
from llm_inference_api.envoy.stats import STATS_LISTENER

Json = dict[str, Any]

AFFINE_CLUSTER = "service-affine"
"""Cluster of the same replicas as the service's, balanced by a request's affinity key."""
HEALTH_NAME = "preloaded"
"""The service's health name for "ready, and all preloaded models are active" (rpc/health.py)."""
_AFFINITY = "affinity"
_GENERATING = ("grpc", "grpc-web", "generate", "openai-generate", "anthropic-generate", "ollama-generate")
"""Names of the routes whose requests may reuse a cached prefix."""
_BALANCE = 150
"""Per cent of the mean load above which a replica's keys go to the next one (bounded-load consistent hashing)."""
_DRAWS = 64
"""Attempts of a retry to select a replica that has not been tried. Each rehashes the key: with 10, one request in a
hundred selected the same two of three replicas only."""
_BUFFER_BYTES = 9 << 20
"""Maximum size of a request, buffered for retries and for its key: the gRPC message limit and framing."""


def are_replicas(sidecar: Sidecar) -> bool:
    """Returns whether there may be several replicas: several upstreams, or a host name other than localhost."""
    if sidecar.upstream_socket is not None:
        return False
    (first, *more) = sidecar.upstreams
    return bool(more) or (first.is_name and first.host != "localhost")


def front_bootstrap(front: Sidecar, *, affinity: bool) -> str:
    """Returns the bootstrap, as JSON text, of a front proxy of the replicas at the upstreams."""
    config = configuration(front)
    clusters = {cluster["name"]: cluster for cluster in config["static_resources"]["clusters"]}
    del clusters[READY_CLUSTER]  # Replicas get requests only while they are ready.
    clusters |= {name: _tuned(clusters[name]) for name in (SERVICE_CLUSTER, OPS_CLUSTER)}
    if affinity:
        clusters[AFFINE_CLUSTER] = _affine(clusters[SERVICE_CLUSTER])
    config["static_resources"]["clusters"] = list(clusters.values())
    for listener in config["static_resources"]["listeners"]:
        if listener["name"] != STATS_LISTENER:
            _balance_requests(listener["filter_chains"][0]["filters"][0]["typed_config"], affinity=affinity)
    return json.dumps(config, indent=2) + "\n"


def _balance_requests(manager: Json, *, affinity: bool) -> None:
    """Changes a listener's connection manager so that it tries replicas again, and chooses them by a request's key."""
    (host,) = manager["route_config"]["virtual_hosts"]
    host |= {
        "retry_policy": _retry_policy(),
        "include_attempt_count_in_response": True,
        "request_body_buffer_limit": _BUFFER_BYTES,  # Else the limit over HTTP/2 would be the stream's window.
    }
    host["routes"] = [_of_many(route) for route in host["routes"]]
    for each in manager["http_filters"]:
        healthy = each["typed_config"].get("cluster_min_healthy_percentages", {})
        if READY_CLUSTER in healthy:
            healthy[SERVICE_CLUSTER] = healthy.pop(READY_CLUSTER)
    if affinity:
        host["routes"] = [twin for route in host["routes"] for twin in _with_affinity(route)]
        _insert_before(manager["http_filters"], "envoy.filters.http.grpc_json_transcoder", _affinity_filter())


def _of_many(route: Json) -> Json:
    """Returns the route, changed if it is meaningful for a single process only."""
    if route["name"] == "metrics":
        text = "each replica serves its own metrics, at its LLM_METRICS_PORT"
        return {key: route[key] for key in ("name", "match")} | {
            "direct_response": {"status": 404, "body": {"inline_string": text}}
        }
    if route["name"] == "grpc-infrastructure":
        # Of the operations cluster, a stopping replica would answer NOT_SERVING for all of them.
        return route | {"route": route["route"] | {"cluster": SERVICE_CLUSTER}}
    return route


def _retry_policy() -> Json:
    """Returns the policy that retries unanswered requests on another replica; Envoy never retries a started response.

    The status UNAVAILABLE alone is not retried: a request that crashed one worker may crash the next one too.
    """
    previous = typed("extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate")
    return {
        "retry_on": "connect-failure,refused-stream,reset,retriable-headers",
        "retriable_headers": [{"name": headers.RETRY_ELSEWHERE, "present_match": True}],
        "num_retries": 2,
        "retry_host_predicate": [{"name": "envoy.retry_host_predicates.previous_hosts", "typed_config": previous}],
        "host_selection_retry_max_attempts": _DRAWS,
        "retry_back_off": {"base_interval": "0.010s", "max_interval": "0.100s"},
    }


def _tuned(cluster: Json) -> Json:
    """Returns the cluster with load balancing, health checks and ejection for a changing set of replicas."""
    (thresholds,) = cluster["circuit_breakers"]["thresholds"]
    tuned = {
        "lb_policy": "LEAST_REQUEST",
        # With Envoy's default of 3 concurrent retries, most requests of a dead replica would fail.
        "circuit_breakers": {"thresholds": [thresholds | {"max_retries": 1000}]},
        "outlier_detection": _outlier_detection(),
        # By default, Envoy batches health changes for up to a second.
        "common_lb_config": cluster["common_lb_config"] | {"update_merge_window": "0s"},
    }
    if cluster["name"] in (SERVICE_CLUSTER, READY_CLUSTER):
        (check,) = cluster["health_checks"]
        # Others can take over: a replica that answers late is left out soon; one late check on a busy machine is not.
        soon = {"timeout": "1s", "unhealthy_threshold": 2, "grpc_health_check": {"service_name": HEALTH_NAME}}
        tuned["health_checks"] = [check | soon]
        tuned["connect_timeout"] = "1s"
    return _resolved(cluster | tuned)


def _resolved(cluster: Json) -> Json:
    """Returns the cluster with DNS discovery: one replica per address of a name, resolved again after the TTL."""
    if cluster["type"] == "STATIC":
        return cluster
    dns = typed("extensions.clusters.dns.v3.DnsCluster", respect_dns_ttl=True, dns_lookup_family="V4_PREFERRED")
    unresolved = {key: value for key, value in cluster.items() if key != "type"}
    return unresolved | {"cluster_type": {"name": "envoy.clusters.dns", "typed_config": dns}}


def _outlier_detection() -> Json:
    """Returns the policy that ejects a replica at its first connection failure, until its next passing health check.

    Responses never eject: a client with short deadlines would cause one replica after the other to be ejected.
    """
    return {
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": 1,
        "enforcing_consecutive_5xx": 0,
        "enforcing_success_rate": 0,
        "base_ejection_time": "3s",
        "max_ejection_percent": 50,
    }


def _affine(cluster: Json) -> Json:
    """Returns a cluster that balances by the affinity key, with bounded load."""
    balance = {"consistent_hashing_lb_config": {"hash_balance_factor": _BALANCE}}
    return cluster | {
        "name": AFFINE_CLUSTER,
        "lb_policy": "MAGLEV",
        "common_lb_config": cluster["common_lb_config"] | balance,
        "load_assignment": cluster["load_assignment"] | {"cluster_name": AFFINE_CLUSTER},
    }


def _with_affinity(route: Json) -> list[Json]:
    """Returns the route; for routes that generate, after a twin that matches requests with an affinity key."""
    if route["name"] not in _GENERATING:
        return [route]
    enabled = {_AFFINITY: typed("config.route.v3.FilterConfig", config={})}
    route = route | {"typed_per_filter_config": route.get("typed_per_filter_config", {}) | enabled}
    has_key = {"name": headers.AFFINITY_KEY, "present_match": True}
    hashed = {"cluster": AFFINE_CLUSTER, "hash_policy": [{"header": {"header_name": headers.AFFINITY_KEY}}]}
    twin = {
        "name": f"{route['name']}-affine",
        "match": route["match"] | {"headers": [*route["match"].get("headers", []), has_key]},
        "route": route["route"] | hashed,
    }
    return [route | twin, route]


def _affinity_filter() -> Json:
    script = files("llm_inference_api.envoy").joinpath("affinity.lua").read_text()
    config = typed("extensions.filters.http.lua.v3.Lua", default_source_code={"inline_string": script})
    return {"name": _AFFINITY, "disabled": True, "typed_config": config}


def _insert_before(filters: list[Json], name: str, new: Json) -> None:
    filters.insert([each["name"] for each in filters].index(name), new)
