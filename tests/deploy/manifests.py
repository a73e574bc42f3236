"""What kustomize makes of the Kubernetes manifests, and which tools are there to look at them."""

import shutil
import subprocess
from functools import cache
from typing import Any

import pytest
import yaml

from tools.generate import PROJECT

KUBERNETES = PROJECT / "deploy/kubernetes"
VARIANTS = ("base", "overlays/gpu", "overlays/fleet")
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
