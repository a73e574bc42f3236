"""The files for Prometheus and Grafana speak of metrics that exist."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from llm_inference_api.observability.metrics import Metrics

DEPLOY = Path(__file__).parents[2] / "deploy"
ALERTS, DASHBOARD = DEPLOY / "prometheus/alerts.yaml", DEPLOY / "grafana/llm-inference-api.json"
OF_PROMETHEUS = {"up"}
FRONT = "llm-inference-api-front"
"""Name of the alerts on the front's metrics, which are Envoy's: test_front.py."""
ADDED_LABELS = {"instance", "job", "le"}
"""By Prometheus, or by the histograms."""
_PARTS = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
_WORDS = re.compile(r"[a-z_]+(?=\{)|\bllm_inference_\w+|\bup\b")
_SERIES = re.compile(r"(\w+)\{([^}]*)\}")


def exported() -> dict[str, set[str]]:
    """Returns the labels of each series that the service exports, by name."""
    registry = Metrics("1").registry
    found: dict[str, set[str]] = {}
    for family in registry.collect():
        collector = registry._names_to_collectors.get(family.name)
        labels = set(getattr(collector, "_labelnames", ()))
        found |= {family.name + part: labels for part in _PARTS[family.type]}
    return found


def dashboard() -> dict[str, Any]:
    """Returns the dashboard."""
    found: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return found


def expressions() -> dict[str, str]:
    """Returns every expression in PromQL, with its place."""
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    rules = [rule for group in groups if group["name"] != FRONT for rule in group["rules"]]
    found = {f"alert {rule['alert']}": rule["expr"] for rule in rules}
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            found[f"panel {panel['title']} {target['refId']}"] = target["expr"]
    for annotation in dashboard()["annotations"]["list"]:
        found[f"annotation {annotation['name']}"] = annotation["expr"]
    return found


@pytest.mark.parametrize("place", expressions())
def test_expression_names_metrics_and_labels_that_exist(place: str) -> None:
    """A renamed metric, or a label that it does not have, would leave an alert silent and a panel empty."""
    expression, series = expressions()[place], exported()
    names = set(_WORDS.findall(expression))
    assert names, expression
    assert names <= series.keys() | OF_PROMETHEUS
    for name, matchers in _SERIES.findall(expression):
        labels = set(re.findall(r"(\w+)\s*[=!]", matchers))
        assert labels <= series.get(name, set()) | ADDED_LABELS, (name, labels)
    groups = re.findall(r"(?:by|on) \(([^)]*)\)", expression)
    grouped = {label.strip() for group in groups for label in group.split(",")}
    assert grouped <= set().union(*(series.get(name, set()) for name in names)) | ADDED_LABELS


def test_variables_of_the_dashboard_are_filled_from_metrics_that_exist() -> None:
    """The lists of instances and models come from labels that there are."""
    series = exported()
    queries = [item["query"]["query"] for item in dashboard()["templating"]["list"] if item["type"] == "query"]
    for query in queries:
        match = re.fullmatch(r"label_values\((\w+), (\w+)\)", query)
        assert match, query
        assert match[2] in series[match[1]] | ADDED_LABELS


def test_panels_have_their_own_ids_and_places() -> None:
    """Grafana shows one of two panels that share an id, or hides what lies below another."""
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(at["x"] + dx, at["y"] + dy) for dx in range(at["w"]) for dy in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs Prometheus's own checker, where it is installed."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed; it is part of Debian's `prometheus`")
    return subprocess.run([found, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_prometheus_accepts_the_alerts() -> None:
    """`promtool check rules` finds nothing, and the alerts fire when they should."""
    for arguments in (("check", "rules", str(ALERTS)), ("test", "rules", str(ALERTS.with_name("alerts_test.yaml")))):
        done = promtool(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_understands_the_dashboard(tmp_path: Path) -> None:
    """Every expression of the dashboard is one, once Grafana has filled in its variables."""
    filled = [
        text.replace("$__rate_interval", "5m").replace("$instance", ".*").replace("$model", ".*")
        for place, text in expressions().items()
        if not place.startswith("alert")
    ]
    rules = [{"record": f"r{index}", "expr": text} for index, text in enumerate(filled)]
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = promtool("check", "rules", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
