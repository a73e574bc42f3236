"""The front's metrics: those that its alerts name, and nothing else of Envoy's admin interface."""

import re
from collections.abc import Iterator

import httpx
import pytest
import yaml

from tests.deploy.manifests import committed, only, pod, rendered
from tests.deploy.test_monitoring import ALERTS, FRONT
from tests.e2e.replicas import run_front
from tests.fakes.ports import free_port
from tests.fakes.replica import FakeReplica
from tools.generate import FRONT as ARGUMENTS
from tools.generate import PROJECT

_SERIES = re.compile(r"(envoy_\w+)\{([^}]*)\}")
_MATCHER = re.compile(r'(\w+)="([^"]*)"')


@pytest.fixture(scope="module")
def metrics_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a front that has served a request has its metrics."""
    port, replicas = free_port(), [FakeReplica(name) for name in ("a", "b")]
    directory = tmp_path_factory.mktemp("front")
    with replicas[0].serve(), replicas[1].serve(), run_front(directory, replicas, "--metrics-port", str(port)) as front:
        assert httpx.post(f"{front.url}/api/generate", json={"prompt": "hello"}, timeout=30).is_success
        yield f"http://127.0.0.1:{port}"


def expressions() -> list[str]:
    """Returns the expressions of the front's alerts that name Envoy's metrics."""
    (group,) = (each for each in yaml.safe_load(ALERTS.read_text())["groups"] if each["name"] == FRONT)
    return [rule["expr"] for rule in group["rules"] if "envoy_" in rule["expr"]]


@pytest.mark.parametrize("expression", expressions())
def test_front_has_the_metrics_of_its_alerts(metrics_url: str, expression: str) -> None:
    """A name or a label that Envoy does not use would leave an alert silent."""
    lines = httpx.get(f"{metrics_url}/metrics", timeout=30).text.splitlines()
    series = [(name, dict(_MATCHER.findall(labels))) for line in lines for name, labels in _SERIES.findall(line)]
    named = _SERIES.findall(expression)
    assert named
    for name, matchers in named:
        wanted = dict(_MATCHER.findall(matchers)).items()
        assert any(found == name and wanted <= labels.items() for found, labels in series), (name, matchers)


def test_metrics_port_is_no_admin_interface(metrics_url: str) -> None:
    """Whoever may read the metrics can neither stop Envoy nor see its configuration."""
    for path in ("/", "/config_dump", "/stats/prometheus", "/metrics/../config_dump"):
        assert httpx.get(f"{metrics_url}{path}", timeout=30).status_code in (400, 404), path
    assert httpx.post(f"{metrics_url}/quitquitquit", timeout=30).status_code == 404


def test_prometheus_finds_the_fronts() -> None:
    """PodMonitor, container and bootstrap agree on the port, monitor and alerts on the job."""
    fleet = rendered("overlays/fleet")
    monitor = only(fleet, "PodMonitor", "llm-inference-api-front")["spec"]
    front = only(fleet, "Deployment", "llm-inference-api-front")
    assert monitor["selector"]["matchLabels"].items() <= front["spec"]["template"]["metadata"]["labels"].items()
    (endpoint,) = monitor["podMetricsEndpoints"]
    (envoy,) = pod(front)["containers"]
    ports = {port["name"]: str(port["containerPort"]) for port in envoy["ports"]}
    assert ports[endpoint["port"]] == ARGUMENTS[ARGUMENTS.index("--metrics-port") + 1]
    assert {"targetLabel": "job", "replacement": FRONT} in endpoint["relabelings"]
    assert f'up{{job="{FRONT}"}}' in ALERTS.read_text()


@pytest.mark.parametrize("path", ["base/stateful-set.yaml", "overlays/fleet/front.yaml"])
def test_envoy_has_as_many_workers_as_processors(path: str) -> None:
    """By default it would start one for each of the node's hardware threads."""
    specification = pod(committed(f"deploy/kubernetes/{path}")[0])
    containers = [*specification.get("initContainers", []), *specification["containers"]]
    (envoy,) = (each for each in containers if each["name"] == "envoy")
    (variable,) = envoy["env"]
    assert envoy["args"][-2:] == ["--concurrency", f"$({variable['name']})"]
    assert variable["valueFrom"]["resourceFieldRef"] == {"containerName": "envoy", "resource": "requests.cpu"}


def test_envoy_of_compose_has_as_many_workers_as_processors() -> None:
    """The image's own command has them too."""
    (document,) = committed("compose.yaml")
    envoy = document["services"]["envoy"]
    assert envoy["command"][-2:] == ["--concurrency", str(envoy["cpus"])]
    assert '"--concurrency", "2"]' in (PROJECT / "Dockerfile").read_text()
