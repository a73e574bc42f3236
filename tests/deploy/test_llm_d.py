"""The values for llm-d's charts say what its picker knows, and what is true of the replicas."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from llm_inference_api.config.settings import Settings
from tests.deploy.llm_d import ALPHA, CONFIG, STABLE_ENOUGH, VALUES
from tests.deploy.manifests import KUBERNETES, committed, only, pod, rendered
from tests.deploy.shapes import unknown
from tests.deploy.test_kubernetes import KUBERNETES_VERSION
from tests.deploy.test_monitoring import exported

(SHARED,) = committed("deploy/llm-d/values.yaml")
(GATEWAY,) = committed("deploy/llm-d/gateway.yaml")
(STANDALONE,) = committed("deploy/llm-d/standalone.yaml")
EPP = SHARED["router"]["epp"]
PICKER: dict[str, Any] = yaml.safe_load(EPP["pluginsCustomConfig"][EPP["pluginsConfigFile"]])
PARAMETERS = {plugin["type"]: plugin.get("parameters", {}) for plugin in PICKER["plugins"]}
SETTINGS = dict(
    line.split("=", 1)
    for path in ("base/settings.env", "overlays/gateway/settings.env")
    for line in (KUBERNETES / path).read_text().splitlines()
    if line and not line.startswith("#")
)


@pytest.mark.parametrize("values", [SHARED, GATEWAY, STANDALONE], ids=["shared", "gateway", "standalone"])
def test_charts_know_the_values(values: dict[str, Any]) -> None:
    """Helm would take others in silence."""
    assert unknown(values, VALUES) == []


def test_picker_knows_the_plugins_and_their_parameters() -> None:
    """It does not start with others."""
    assert unknown(PICKER, CONFIG) == []
    assert unknown(PARAMETERS, STABLE_ENOUGH | ALPHA) == []


def test_references_name_plugins() -> None:
    """Each plugin that something refers to is there, and each that is there has a use."""
    (profile,) = PICKER["schedulingProfiles"]
    (source,) = PICKER["dataLayer"]["sources"]
    lists = (profile["plugins"], [source], source["extractors"], PICKER["requestHandler"]["parsers"])
    named = {reference["pluginRef"] for references in lists for reference in references}
    producers = {plugin for plugin in PARAMETERS if plugin.endswith("-producer")}
    assert named | producers == PARAMETERS.keys()


def test_alpha_plugins_are_allowed() -> None:
    """The picker does not start otherwise."""
    assert PARAMETERS.keys() & ALPHA.keys()
    assert EPP["flags"]["allow-experimental-plugins"] is True


def test_every_path_has_a_parser() -> None:
    """Requests that none claims would be refused; the last one takes all."""
    assert [parser["pluginRef"] for parser in PICKER["requestHandler"]["parsers"]][-1] == "passthrough-parser"


def test_conversations_are_told_apart_by_the_header_that_the_front_reads() -> None:
    """By default the picker would want its own header back."""
    affinity = PARAMETERS["session-affinity-scorer"]
    assert affinity["strategy"] == "session_id"
    assert affinity["sessionIdConfig"]["sources"] == [{"header": "x-session-id"}]


def test_cache_has_its_true_size() -> None:
    """The picker's index of a replica forgets as the replica does."""
    cache = PARAMETERS["approx-prefix-cache-producer"]
    assert cache["autoTune"] is False
    assert cache["lruCapacityPerServer"] * cache["blockSizeTokens"] == int(SETTINGS["LLM_KV_CACHE_TOKENS"])


def test_metrics_are_read_from_their_own_port() -> None:
    """Port 8091 wants a key where there are keys, and takes twice the processor time."""
    source = PARAMETERS["metrics-data-source"]
    assert source["port"] == int(SETTINGS["LLM_METRICS_PORT"])
    assert source["interval"] == "500ms"


def test_picker_reads_gauges_that_exist() -> None:
    """Queue, running requests and cache utilisation are mapped to gauges by model."""
    (engine,) = PARAMETERS["core-metrics-extractor"]["engineConfigs"]
    series = exported()
    for name in ("queuedRequestsSpec", "runningRequestsSpec", "kvUsageSpec"):
        assert series[engine[name]] == {"model"}
    assert engine["name"] == PARAMETERS["core-metrics-extractor"]["defaultEngine"]


def test_picker_and_pool_choose_the_replicas() -> None:
    """Both select the pods of the StatefulSet, at Envoy's port."""
    manifests = rendered("overlays/gateway")
    workload = only(manifests, "StatefulSet", "llm-inference-api")["spec"]["template"]
    pool = only(manifests, "InferencePool", "llm-inference-api")["spec"]
    servers = SHARED["router"]["modelServers"]
    assert servers["matchLabels"] == pool["selector"]["matchLabels"]
    assert servers["matchLabels"].items() <= workload["metadata"]["labels"].items()
    (envoy,) = (each for each in workload["spec"]["initContainers"] if each["name"] == "envoy")
    assert servers["targetPorts"] == pool["targetPorts"] == [{"number": envoy["ports"][0]["containerPort"]}]


def test_pool_names_the_picker_that_the_chart_installs() -> None:
    """Its Service has the release's name and `-epp`; docs/deployment.md has the release."""
    pool = only(rendered("overlays/gateway"), "InferencePool", "llm-inference-api")["spec"]
    assert pool["endpointPickerRef"]["name"] == "llm-inference-api-epp"
    assert SHARED["router"]["inferencePool"]["create"] is False


def test_gateway_cuts_no_request_that_the_service_allows() -> None:
    """Its time is longer than any of the service's, in our route and in the chart's."""
    route = only(rendered("overlays/gateway"), "HTTPRoute", "llm-inference-api")["spec"]
    ours = [rule["timeouts"]["request"] for rule in route["rules"]]
    for time in (*ours, GATEWAY["httpRoute"]["requestTimeout"]):
        assert float(time.removesuffix("s")) > Settings.model_fields["max_request_timeout"].default


def test_route_leads_from_the_gateway_to_the_pool() -> None:
    """Every path of every wire."""
    manifests = rendered("overlays/gateway")
    route = only(manifests, "HTTPRoute", "llm-inference-api")["spec"]
    (parent,) = route["parentRefs"]
    assert only(manifests, "Gateway", parent["name"])
    ((rule),) = route["rules"]
    (backend,) = rule["backendRefs"]
    assert only(manifests, backend["kind"], backend["name"])["apiVersion"].startswith(f"{backend['group']}/")
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/"}}]


def test_envoy_of_the_chart_has_as_many_workers_as_processors() -> None:
    """By default it would have one for each of the node's."""
    proxy = STANDALONE["router"]["proxy"]
    workers = proxy["args"][proxy["args"].index("--concurrency") + 1]
    assert int(workers) == proxy["resources"]["requests"]["cpu"]


@pytest.mark.parametrize("name", ["gateway", "standalone"])
def test_charts_render_with_the_values(name: str) -> None:
    """Helm makes valid objects of them: the picker's configuration and arguments, the Service that the pool names."""
    helm = pytest.importorskip("helm_python", reason="the extra `deploy` is not installed: no Helm to render with")
    validator = pytest.importorskip("kubernetes_validate", reason="the extra `deploy` is not installed: no schemas")
    charts = os.environ.get("CHARTS_OF_LLMD")
    if charts is None:
        pytest.skip("CHARTS_OF_LLMD names no copy of config/charts of llm-d-router to render")
    values = merged(SHARED, {"gateway": GATEWAY, "standalone": STANDALONE}[name])
    with helm.Chart.load(Path(charts) / f"llm-d-router-{name}") as chart:
        files: dict[str, str] = chart.render(values, name="llm-inference-api", namespace="default")
    texts = [text for path, text in files.items() if path.endswith(".yaml")]
    manifests = [each for text in texts for each in yaml.safe_load_all(text) if each]
    for manifest in manifests:
        validator.validate(manifest, KUBERNETES_VERSION, strict=True)
    config = only(manifests, "ConfigMap", "llm-inference-api-epp")["data"][EPP["pluginsConfigFile"]]
    assert yaml.safe_load(config) == PICKER
    containers = pod(only(manifests, "Deployment", "llm-inference-api-epp"))["containers"]
    (picker,) = (each for each in containers if each["name"] == "epp")
    assert f"/config/{EPP['pluginsConfigFile']}" in picker["args"]
    assert "--allow-experimental-plugins=true" in picker["args"]
    assert 9002 in [port["port"] for port in only(manifests, "Service", "llm-inference-api-epp")["spec"]["ports"]]


def merged(values: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Returns the values as Helm merges those of a second file into them."""
    both = {key: merged(values[key], more[key]) for key in values.keys() & more.keys() if isinstance(more[key], dict)}
    return values | more | both


def test_chart_renders_no_template_in_envoys_configuration() -> None:
    """Helm takes two braces in it for one."""
    assert "{{" not in STANDALONE["router"]["proxy"]["configMap"]["data"]["envoy.yaml"]
