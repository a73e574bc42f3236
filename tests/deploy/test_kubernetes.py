"""The Kubernetes manifests: valid, and about the service that there is."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from llm_inference_api.config.settings import Settings, variable_of
from llm_inference_api.envoy.limits import MAX_HEAP_BYTES
from llm_inference_api.observability.metrics import Metrics
from llm_inference_api.rpc.health import LIVE, PRELOADED, SERVICE
from llm_inference_api.server import _LAST_MESSAGES, _OPEN_WATCHES
from tests.deploy.manifests import (
    KUBERNETES,
    VARIANTS,
    Manifest,
    committed,
    definitions,
    is_custom,
    only,
    pod,
    rendered,
)
from tools.generate import write_kubernetes_files

KUBERNETES_VERSION = "1.34"
"""The oldest whose schema knows all that the manifests use as stable; `preStop.sleep` is."""
WORKERS_END = 10.0
"""Seconds that the models' processes have to end."""
STATEFUL_SET = "deploy/kubernetes/base/stateful-set.yaml"
FRONT = "deploy/kubernetes/overlays/fleet/front.yaml"


def settings_of_the_pod() -> dict[str, str]:
    lines = (KUBERNETES / "base/settings.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def service_pod() -> Manifest:
    return pod(committed(STATEFUL_SET)[0])


def containers(specification: Manifest) -> list[Manifest]:
    return [*specification.get("initContainers", []), *specification["containers"]]


def test_generated_files_are_those_of_the_command_line(tmp_path: Path) -> None:
    """The bootstraps and the descriptor set are what is printed and generated now."""
    write_kubernetes_files(tmp_path)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) == 3
    for path in written:
        assert path.read_bytes() == (KUBERNETES.parent.parent / path.relative_to(tmp_path)).read_bytes(), path.name


@pytest.mark.parametrize("variant", VARIANTS)
def test_manifests_pass_the_published_schemas(variant: str) -> None:
    """Kubernetes' own schemas allow them, strictly: no unknown field."""
    validator = pytest.importorskip(
        "kubernetes_validate", reason="the extra `deploy` is not installed: no schemas to validate with"
    )
    for manifest in rendered(variant):
        if not is_custom(manifest):
            validator.validate(manifest, KUBERNETES_VERSION, strict=True)


@pytest.mark.parametrize("variant", VARIANTS)
def test_custom_resources_pass_their_definitions(variant: str) -> None:
    """Their projects' own schemas allow them, strictly."""
    schemas = definitions()
    for manifest in rendered(variant):
        if is_custom(manifest):
            jsonschema.validate(manifest, schemas[manifest["apiVersion"], manifest["kind"]])


def test_grace_holds_all_that_a_pods_end_takes() -> None:
    """preStop, lame duck, drain and the end of the processes fit before Kubernetes kills."""
    settings, specification = settings_of_the_pod(), service_pod()
    (service,) = specification["containers"]
    steps = (
        service["lifecycle"]["preStop"]["sleep"]["seconds"],
        float(settings["LLM_LAME_DUCK"]),
        float(settings["LLM_DRAIN_TIMEOUT"]),
        _LAST_MESSAGES + _OPEN_WATCHES,
        WORKERS_END,
    )
    assert sum(steps) < specification["terminationGracePeriodSeconds"] < sum(steps) + 10


def test_front_outlives_the_requests_of_clients_without_deadlines() -> None:
    """A front that goes keeps its streams as long as such a request may take."""
    specification = pod(committed(FRONT)[0])
    asleep = specification["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert asleep > Settings.model_fields["request_timeout"].default
    assert specification["terminationGracePeriodSeconds"] > asleep


def test_envoy_is_a_native_sidecar_that_needs_no_service_to_start() -> None:
    """It starts first, so nothing of its start may ask the service, and ends last."""
    (envoy,) = service_pod()["initContainers"]
    assert envoy["restartPolicy"] == "Always"
    assert set(envoy["startupProbe"]) & {"httpGet", "grpc", "tcpSocket"} == {"tcpSocket"}


@pytest.mark.parametrize("path", [STATEFUL_SET, FRONT])
def test_envoy_refuses_before_it_is_killed_for_its_memory(path: str) -> None:
    """The heap at which it refuses requests lies below the container's limit."""
    (envoy,) = (one for one in containers(pod(committed(path)[0])) if one["name"] == "envoy")
    limit = envoy["resources"]["limits"]["memory"]
    assert limit.endswith("Mi")
    assert int(limit.removesuffix("Mi")) << 20 > MAX_HEAP_BYTES


def test_sidecar_finds_the_service_by_its_socket() -> None:
    """Both containers have the directory of the socket that the settings and the bootstrap name."""
    socket = settings_of_the_pod()["LLM_GRPC_SOCKET"]
    assert f'"path": "{socket}"' in (KUBERNETES / "base/envoy/bootstrap.json").read_text()
    for container in containers(service_pod()):
        mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounted["socket"] == str(Path(socket).parent), container["name"]


def test_probes_ask_for_names_that_the_service_knows() -> None:
    """Liveness asks whether the process lives, readiness whether it takes requests."""
    (service,) = service_pod()["containers"]
    asked = {probe: service[probe]["grpc"]["service"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert asked == {"startupProbe": LIVE, "livenessProbe": LIVE, "readinessProbe": SERVICE}


@pytest.mark.parametrize("path", [STATEFUL_SET, FRONT])
def test_containers_have_no_rights(path: str) -> None:
    """No root, no writable root directory, no capabilities, the runtime's seccomp profile, no token of the cluster."""
    specification = pod(committed(path)[0])
    assert specification["securityContext"]["runAsNonRoot"]
    assert specification["securityContext"]["runAsUser"] == 10001
    assert specification["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert specification["automountServiceAccountToken"] is False
    for container in containers(specification):
        rights = container["securityContext"]
        assert rights["readOnlyRootFilesystem"], container["name"]
        assert rights["allowPrivilegeEscalation"] is False, container["name"]
        assert rights["capabilities"] == {"drop": ["ALL"]}, container["name"]


def test_settings_exist() -> None:
    """Each variable of the pods is one that the service reads."""
    known = {variable_of(name) for name in Settings.model_fields}
    (service,) = service_pod()["containers"]
    named = {entry["name"] for entry in service["env"]}
    assert set(settings_of_the_pod()) | named <= known


def test_prometheus_finds_the_port_of_each_replicas_metrics() -> None:
    """ServiceMonitor, headless Service, container and settings agree."""
    fleet = rendered("overlays/fleet")
    monitor = only(fleet, "ServiceMonitor", "llm-inference-api")["spec"]
    service = only(fleet, "Service", "llm-inference-api-replicas")
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (named,) = (port for port in service["spec"]["ports"] if port["name"] == monitor["endpoints"][0]["port"])
    (container,) = service_pod()["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert str(ports[named["targetPort"]]) == settings_of_the_pod()["LLM_METRICS_PORT"]


def test_autoscaler_follows_a_metric_that_exists() -> None:
    """The queue's length of each model is such a metric."""
    (autoscaler,) = committed("deploy/kubernetes/components/autoscaling/autoscaler.yaml")
    (metric,) = autoscaler["spec"]["metrics"]
    assert f"\n# TYPE {metric['pods']['metric']['name']} gauge\n" in Metrics("0").text().decode()


def test_selectors_choose_pods() -> None:
    """In the fleet, clients come to the front, and the replicas' own addresses are behind it."""
    fleet = rendered("overlays/fleet")
    replicas = labels_of(only(fleet, "StatefulSet", "llm-inference-api"))
    front = labels_of(only(fleet, "Deployment", "llm-inference-api-front"))
    selected = {one["metadata"]["name"]: one["spec"]["selector"] for one in fleet if one["kind"] == "Service"}
    assert selected["llm-inference-api"].items() <= front.items()
    assert selected["llm-inference-api-replicas"].items() <= replicas.items()


def test_fleet_leaves_the_number_of_replicas_to_the_autoscaler() -> None:
    """Applying the manifests again does not undo what it decided."""
    fleet = rendered("overlays/fleet")
    assert "replicas" not in only(fleet, "StatefulSet", "llm-inference-api")["spec"]
    target = only(fleet, "HorizontalPodAutoscaler", "llm-inference-api")["spec"]["scaleTargetRef"]
    assert only(fleet, target["kind"], target["name"])["apiVersion"] == target["apiVersion"]


def test_fleet_is_updated_as_fast_as_its_models_are_loaded() -> None:
    """A replica counts as ready with its models in memory, and its address stays known while it drains."""
    fleet = rendered("overlays/fleet")
    (service,) = pod(only(fleet, "StatefulSet", "llm-inference-api"))["containers"]
    assert service["readinessProbe"]["grpc"] == {"port": 50051, "service": PRELOADED}
    assert only(fleet, "Service", "llm-inference-api-replicas")["spec"]["publishNotReadyAddresses"]


def test_gpu_overlay_asks_for_a_gpu_and_the_image_for_it() -> None:
    """The pod gets a GPU, and the build that uses it."""
    (service,) = pod(only(rendered("overlays/gpu"), "StatefulSet", "llm-inference-api"))["containers"]
    assert service["image"].endswith(":cuda")
    assert service["resources"]["limits"]["nvidia.com/gpu"] == 1


def labels_of(workload: Manifest) -> dict[str, Any]:
    labels: dict[str, Any] = workload["spec"]["template"]["metadata"]["labels"]
    return labels
