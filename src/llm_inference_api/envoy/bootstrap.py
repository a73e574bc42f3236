"""Renders Envoy's bootstrap (https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3): listeners, filters and clusters.

It is rendered because Envoy does not substitute variables in its configuration.
"""

import json
from dataclasses import replace
from typing import Any

from llm_inference_api.envoy.addresses import address, listening
from llm_inference_api.envoy.apis import OLLAMA, REST
from llm_inference_api.envoy.clusters import service_cluster
from llm_inference_api.envoy.limits import overload_manager, runtime
from llm_inference_api.envoy.listener import listener
from llm_inference_api.envoy.routes import OPS_CLUSTER, READY_CLUSTER, SERVICE_CLUSTER
from llm_inference_api.envoy.sidecar import Sidecar
from llm_inference_api.envoy.stats import admin_cluster, stats_listener
from llm_inference_api.envoy.tracing import RUNTIME, collector_cluster

Json = dict[str, Any]


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
            "listeners": [listener(sidecar, REST, sidecar.port)],
            "clusters": [
                service_cluster(sidecar, SERVICE_CLUSTER, health_name="live"),
                service_cluster(sidecar, OPS_CLUSTER, health_name="live"),
                service_cluster(sidecar, READY_CLUSTER, health_name=""),
            ],
        },
    }
    if sidecar.ollama_port is not None:
        config["static_resources"]["listeners"].append(listener(sidecar, OLLAMA, sidecar.ollama_port))
    if sidecar.tracer is not None:
        config["static_resources"]["clusters"].append(collector_cluster(sidecar.tracer.target))
        config["layered_runtime"]["layers"].append({"name": "tracing", "static_layer": RUNTIME})
    if sidecar.admin_port is not None:
        config["admin"] = {"address": address("127.0.0.1", sidecar.admin_port)}
    elif sidecar.admin_socket is not None:
        config["admin"] = {"address": {"pipe": {"path": sidecar.admin_socket, "mode": 0o600}}}
    if sidecar.metrics_port is not None:
        config["static_resources"]["listeners"].append(stats_listener(listening(sidecar.listen, sidecar.metrics_port)))
        config["static_resources"]["clusters"].append(admin_cluster(config["admin"]["address"]))
    return config
