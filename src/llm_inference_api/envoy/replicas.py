"""What a front Envoy before several replicas has beyond a sidecar: affinity, ejection, retries, names that are many.

The figures are measured: benchmarks/README.md has them.
"""

import json
from importlib.resources import files
from typing import Any

from llm_inference_api import headers
from llm_inference_api.envoy.bootstrap import Sidecar, configuration
from llm_inference_api.envoy.extensions import typed
from llm_inference_api.envoy.routes import OPS_CLUSTER, SERVICE_CLUSTER

Json = dict[str, Any]

AFFINE_CLUSTER = "service-affine"
"""The same replicas as the service's cluster, chosen by the key of a request."""
HEALTH_NAME = "preloaded"
"""The service's health name for "takes requests, and has its models in memory" (api/health.py)."""
_AFFINITY = "affinity"
_GENERATING = ("grpc", "grpc-web", "generate", "openai-generate")
"""Names of the routes whose requests may have a prefix in a cache."""
_BALANCE = 150
"""Per cent of the mean load beyond which a replica's keys go to the next one."""
_DRAWS = 64
"""Of a replica that was not asked yet. Each is a new hash of the key: with 10, one request in a hundred met the same
two of three replicas again and again."""
_BUFFER_BYTES = 9 << 20
"""Of a request, which is kept for retries and for the key: what gRPC receives, and its framing."""


def are_replicas(sidecar: Sidecar) -> bool:
    """Returns whether there may be several services: more than one address, or a name that another machine has."""
    if sidecar.upstream_socket is not None:
        return False
    (first, *more) = sidecar.upstreams
    return bool(more) or (first.is_name and first.host != "localhost")


def front_bootstrap(front: Sidecar, *, affinity: bool) -> str:
    """Returns the configuration, as JSON, of an Envoy before the replicas at the upstreams."""
    config = configuration(front)
    (listener,) = config["static_resources"]["listeners"]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    (host,) = manager["route_config"]["virtual_hosts"]
    host |= {
        "retry_policy": _retry_policy(),
        "include_attempt_count_in_response": True,
        "request_body_buffer_limit": _BUFFER_BYTES,  # Over HTTP/2 the limit were a stream's window.
    }
    host["routes"] = [_of_many(route) for route in host["routes"]]
    clusters = {cluster["name"]: cluster for cluster in config["static_resources"]["clusters"]}
    clusters |= {name: _tuned(clusters[name]) for name in (SERVICE_CLUSTER, OPS_CLUSTER)}
    if affinity:
        host["routes"] = [twin for route in host["routes"] for twin in _with_affinity(route)]
        _insert_before(manager["http_filters"], "envoy.filters.http.grpc_json_transcoder", _affinity_filter())
        clusters[AFFINE_CLUSTER] = _affine(clusters[SERVICE_CLUSTER])
    config["static_resources"]["clusters"] = list(clusters.values())
    return json.dumps(config, indent=2) + "\n"


def _of_many(route: Json) -> Json:
    """Changes the routes that make sense for one process only."""
    if route["name"] == "metrics":
        text = "each replica has metrics of its own, at its LLM_METRICS_PORT"
        return {key: route[key] for key in ("name", "match")} | {
            "direct_response": {"status": 404, "body": {"inline_string": text}}
        }
    if route["name"] == "grpc-infrastructure":
        # A replica that stops would say NOT_SERVING for all of them.
        return route | {"route": route["route"] | {"cluster": SERVICE_CLUSTER}}
    return route


def _retry_policy() -> Json:
    """Tries again elsewhere what no replica has answered yet; Envoy never repeats a stream that has begun.

    A status UNAVAILABLE alone is no reason: where a request crashed its model's process, the next one would crash too.
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
    """Makes a cluster one of replicas that come and go."""
    (thresholds,) = cluster["circuit_breakers"]["thresholds"]
    tuned = {
        "lb_policy": "LEAST_REQUEST",
        # Envoy's default of 3 retries at a time loses most of what a dead replica had.
        "circuit_breakers": {"thresholds": [thresholds | {"max_retries": 1000}]},
        "outlier_detection": _outlier_detection(),
        # Envoy would hold changes of health back for up to a second, to tell of several at once.
        "common_lb_config": cluster["common_lb_config"] | {"update_merge_window": "0s"},
    }
    if cluster["name"] == SERVICE_CLUSTER:
        (check,) = cluster["health_checks"]
        tuned["health_checks"] = [check | {"grpc_health_check": {"service_name": HEALTH_NAME}}]
    return _resolved(cluster | tuned)


def _resolved(cluster: Json) -> Json:
    """Makes every address of a name a replica, looked up again when the answer's time to live is over."""
    if cluster["type"] == "STATIC":
        return cluster
    dns = typed("extensions.clusters.dns.v3.DnsCluster", respect_dns_ttl=True, dns_lookup_family="V4_PREFERRED")
    unresolved = {key: value for key, value in cluster.items() if key != "type"}
    return unresolved | {"cluster_type": {"name": "envoy.clusters.dns", "typed_config": dns}}


def _outlier_detection() -> Json:
    """Ejects a replica that cannot be reached, at its first failure; its next good health check brings it back.

    Answers eject nobody: a client with short deadlines would have its replicas ejected one after the other.
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
    """Returns a cluster that chooses by the key, as long as the replica has not too much to do."""
    balance = {"consistent_hashing_lb_config": {"hash_balance_factor": _BALANCE}}
    return cluster | {
        "name": AFFINE_CLUSTER,
        "lb_policy": "MAGLEV",
        "common_lb_config": cluster["common_lb_config"] | balance,
        "load_assignment": cluster["load_assignment"] | {"cluster_name": AFFINE_CLUSTER},
    }


def _with_affinity(route: Json) -> list[Json]:
    """Returns the route; where it generates, behind a twin for the requests that have a key."""
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
