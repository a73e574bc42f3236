"""What kustomize makes of the Kubernetes manifests, and which tools are there to look at them."""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.generate import PROJECT

KUBERNETES = PROJECT / "deploy/kubernetes"
VARIANTS = ("base", "overlays/gpu", "overlays/fleet", "overlays/gateway", "overlays/gpu-fleet")
Manifest = dict[str, Any]


@cache
def rendered(variant: str) -> list[Manifest]:
    """Returns the manifests of a directory; skips where neither kubectl nor kustomize is installed."""
    if path := shutil.which("kubectl"):
        command = [path, "kustomize"]
    elif path := shutil.which("kustomize"):
        command = [path, "build"]
    else:
        pytest.skip("neither kubectl nor kustomize is installed: the manifests are not rendered")
    done = subprocess.run([*command, KUBERNETES / variant], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def only(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    """Returns the manifest of that kind and name."""
    (found,) = (one for one in manifests if one["kind"] == kind and one["metadata"]["name"] == name)
    return found


def pod(manifest: Manifest) -> Manifest:
    """Returns the specification of a workload's pods."""
    specification: Manifest = manifest["spec"]["template"]["spec"]
    return specification


def committed(path: str) -> list[Manifest]:
    """Returns the documents of a committed YAML file."""
    return list(yaml.safe_load_all((PROJECT / path).read_text()))


def is_custom(manifest: Manifest) -> bool:
    """Returns whether the kind is not one of Kubernetes itself."""
    group, _, _ = manifest["apiVersion"].rpartition("/")
    return "." in group and group != "networking.k8s.io"


@cache
def definitions() -> dict[tuple[str, str], Manifest]:
    """Returns the strict JSON schemas of custom resources by `apiVersion` and kind.

    They are read from the definitions (CRDs) in the directory that CUSTOM_RESOURCE_DEFINITIONS names; skips without.
    """
    directory = os.environ.get("CUSTOM_RESOURCE_DEFINITIONS")
    if directory is None:
        pytest.skip("CUSTOM_RESOURCE_DEFINITIONS names no directory of definitions to validate with")
    found: dict[tuple[str, str], Manifest] = {}
    for path in Path(directory).glob("*.yaml"):
        specification = yaml.safe_load(path.read_text())["spec"]
        for version in specification["versions"]:
            schema = version["schema"]["openAPIV3Schema"]
            schema["properties"]["metadata"] = {}  # Kubernetes' own, which allows more than a definition says.
            found[f"{specification['group']}/{version['name']}", specification["names"]["kind"]] = _strict(schema)
    return found


def _strict(schema: Any) -> Any:
    """Returns the schema with no unknown field allowed, as the API server's strict validation has it."""
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: _strict(value) for key, value in schema.items()}
    is_open = "additionalProperties" in schema or schema.get("x-kubernetes-preserve-unknown-fields")
    return (
        strict
        if is_open or not isinstance(schema.get("properties"), dict)
        else strict | {"additionalProperties": False}
    )
