"""The Kubernetes manifests: valid, and about the service that there is."""

from pathlib import Path
from typing import Any

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
    """Bootstraps, descriptor set, alerts and dashboard are what is printed and generated now."""
    write_kubernetes_files(tmp_path)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) == 5
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


def test_autoscaler_follows_metrics_that_exist() -> None:
    """Replicas whose seats are taken stay, also while no request waits."""
    (autoscaler,) = committed("deploy/kubernetes/components/autoscaling/autoscaler.yaml")
    pods = {metric["pods"]["metric"]["name"]: metric["pods"]["target"] for metric in autoscaler["spec"]["metrics"]}
    assert pods.keys() == {"llm_inference_requests_waiting", "llm_inference_requests_running"}
    text = Metrics("0").text().decode()
    assert all(f"\n# TYPE {name} gauge\n" in text for name in pods)
    seats = Settings.model_fields["max_concurrent_requests"].default
    assert seats / 2 < int(pods["llm_inference_requests_running"]["averageValue"]) < seats


def ports_from(rules: list[Manifest], peer: str, namespace: str) -> set[int]:
    """Returns the ports that a policy's rules open to or from the pods of a namespace of that name."""
    found: set[int] = set()
    for rule in rules:
        for each in rule.get(peer, ()):
            selector = each.get("namespaceSelector", {})
            names = {selector.get("matchLabels", {}).get(_NAME)}
            names |= {
                value
                for term in selector.get("matchExpressions", ())
                if term["key"] == _NAME
                for value in term["values"]
            }
            if namespace in names:
                found |= {port["port"] for port in rule["ports"]}
    return found


_NAME = "kubernetes.io/metadata.name"


def test_network_policy_lets_in_gateways_and_prometheus() -> None:
    """Gateways come to the requests' ports, Prometheus to that of the metrics alone."""
    (policy,) = committed("deploy/kubernetes/base/network-policy.yaml")
    ingress = policy["spec"]["ingress"]
    for gateway in ("envoy-gateway-system", "istio-system", "agentgateway-system"):
        assert ports_from(ingress, "from", gateway) == {8091, 50051}
    for prometheus in ("monitoring", "openshift-user-workload-monitoring"):
        assert ports_from(ingress, "from", prometheus) == {9464}


def test_network_policy_lets_out_to_name_servers() -> None:
    """Those of the cluster, of the node (NodeLocal DNSCache) and of OpenShift."""
    (policy,) = committed("deploy/kubernetes/base/network-policy.yaml")
    egress = policy["spec"]["egress"]
    assert ports_from(egress, "to", "kube-system") == {53}
    assert ports_from(egress, "to", "openshift-dns") == {5353}
    node = [rule for rule in egress for peer in rule["to"] if peer.get("ipBlock", {}).get("cidr") == "169.254.20.10/32"]
    assert {port["port"] for rule in node for port in rule["ports"]} == {53}


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


@pytest.mark.parametrize("variant", ["overlays/gpu", "overlays/gpu-fleet"])
def test_gpu_overlays_ask_for_a_gpu_and_the_image_for_it(variant: str) -> None:
    """The pod gets a GPU, and the build that uses it; in the fleet, the front gets none."""
    manifests = rendered(variant)
    (service,) = pod(only(manifests, "StatefulSet", "llm-inference-api"))["containers"]
    assert service["image"].endswith(":cuda")
    assert service["resources"]["limits"]["nvidia.com/gpu"] == 1
    workloads = [each for each in manifests if each["kind"] in ("StatefulSet", "Deployment")]
    assert sum("nvidia.com/gpu" in str(pod(each)["containers"]) for each in workloads) == 1


def labels_of(workload: Manifest) -> dict[str, Any]:
    labels: dict[str, Any] = workload["spec"]["template"]["metadata"]["labels"]
    return labels
