"""Generates stubs, descriptor set, OpenAPI document, Envoy bootstraps and settings page from the protos and the code.

Usage: `python -m tools.generate [DIRECTORY]`; the output directory defaults to the project.
"""

import os
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import indent

from grpc_tools import protoc

PROJECT = Path(__file__).resolve().parent.parent
PROTOS = sorted((PROJECT / "proto").rglob("*.proto"))
SIDECAR_SOCKET = "/run/llm-inference-api/grpc.sock"
"""Socket on which a sidecar container reaches the service of its pod."""
FRONT = ("--upstream", "llm-inference-api-replicas:50051", "--admin-port", "9901", "--metrics-port", "9464")
"""Arguments of `envoy-config` for the fleet's front."""
DASHBOARD = "llm-inference-api.json"


def generate(target: Path) -> None:
    """Writes the stubs and the descriptor set below the target directory. Raises RuntimeError if a proto is invalid."""
    generated = target / "generated"
    generated.mkdir(parents=True, exist_ok=True)
    python = [f"--python_out={generated}", f"--pyi_out={generated}", f"--grpc_python_out={generated}"]
    # grpcio-tools has no type hints for stubs and servicers.
    plugin = Path(sys.executable).with_name("protoc-gen-mypy_grpc")
    python += [f"--plugin=protoc-gen-mypy_grpc={plugin}", f"--mypy_grpc_out=quiet:{generated}"]
    _protoc(*python, *map(str, PROTOS))
    (generated / "llm_inference/py.typed").touch()
    # Envoy needs the types of error details, which our protos do not import.
    descriptor = generated / "llm_inference/v1/descriptor.pb"
    details = PROJECT / "third_party/googleapis/google/rpc/error_details.proto"
    _protoc("--include_imports", f"--descriptor_set_out={descriptor}", *map(str, PROTOS), str(details))


def write_openapi(target: Path) -> None:
    """Writes the OpenAPI document below the target directory."""
    from tools.openapi.document import text  # Imports the package, which needs the generated stubs.

    path = target / "generated/llm_inference/v1/openapi.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text(descriptors()))


def descriptors() -> bytes:
    """Returns the serialised descriptor set of all protos and their imports, with source information (comments)."""
    with tempfile.NamedTemporaryFile() as file:
        _protoc("--include_imports", "--include_source_info", f"--descriptor_set_out={file.name}", *map(str, PROTOS))
        return file.read()


def write_envoy_bootstrap(target: Path) -> None:
    """Writes the bootstrap of a sidecar with default settings below the target directory."""
    from llm_inference_api.envoy import default_bootstrap  # Imports the package, which needs the generated stubs.

    path = target / "envoy/bootstrap.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(default_bootstrap())


def write_settings(target: Path) -> None:
    """Writes docs/settings.md below the target directory."""
    from tools.settings_page import write_settings_page  # Imports the package, which needs the generated stubs.

    write_settings_page(target)


def write_kubernetes_files(target: Path) -> None:
    """Writes the generated files of the Kubernetes manifests: bootstraps, the descriptor set, alerts and the dashboard.

    The bootstraps, of the sidecar and the fleet's front proxy, are the output of `envoy-config` with default
    settings.
    """
    manifests = target / "deploy/kubernetes"
    sidecar, front = manifests / "base/envoy", manifests / "overlays/fleet"
    monitoring = manifests / "components/monitoring"
    for directory in (sidecar, front, monitoring):
        directory.mkdir(parents=True, exist_ok=True)
    (sidecar / "bootstrap.json").write_text(_envoy_config("--upstream", f"unix:{SIDECAR_SOCKET}"))
    (front / "bootstrap.json").write_text(_envoy_config(*FRONT))
    (monitoring / "alerts.yaml").write_text(_prometheus_rule((PROJECT / "deploy/prometheus/alerts.yaml").read_text()))
    (monitoring / DASHBOARD).write_bytes((PROJECT / "deploy/grafana" / DASHBOARD).read_bytes())
    descriptor = (PROJECT / "generated/llm_inference/v1/descriptor.pb").read_bytes()
    (sidecar / "descriptor.pb").write_bytes(descriptor)


def _prometheus_rule(alerts: str) -> str:
    """Returns the Prometheus operator's object of these alerts."""
    header = "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: llm-inference-api\nspec:\n"
    return header + indent(alerts, "  ")


def _envoy_config(*arguments: str) -> str:
    command = [sys.executable, "-c", "from llm_inference_api.cli.main import main; main()", "envoy-config", *arguments]
    # An environment without settings; imports the same package as this process.
    variables = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
    with TemporaryDirectory() as empty:  # A working directory without config.json.
        return subprocess.run(command, env=variables, cwd=empty, stdout=subprocess.PIPE, text=True, check=True).stdout


def _protoc(*arguments: str) -> None:
    well_known = str(files("grpc_tools") / "_proto")
    include = [f"-I{PROJECT / 'proto'}", f"-I{PROJECT / 'third_party/googleapis'}", f"-I{well_known}"]
    if protoc.main(["protoc", *include, *arguments]) != 0:
        raise RuntimeError("protoc failed; see its output above")


if __name__ == "__main__":
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else PROJECT
    generate(directory)
    write_openapi(directory)
    write_envoy_bootstrap(directory)
    write_settings(directory)
    write_kubernetes_files(directory)
