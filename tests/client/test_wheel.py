"""What is published as the client."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tools.generate import PROJECT

LARGEST = 200_000
"""Bytes of the wheel."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client's wheel."""
    directory = tmp_path_factory.mktemp("wheel")
    options = ["--no-deps", "--no-build-isolation", "--disable-pip-version-check", "-q", "-w", str(directory)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(PROJECT / "client")], check=True)
    (path,) = directory.glob("*.whl")
    return path


def test_wheel_has_the_stubs_with_their_types(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    stubs = (path.relative_to(PROJECT / "generated") for path in (PROJECT / "generated").rglob("*.py*"))
    assert {str(path) for path in stubs if "__pycache__" not in path.parts} <= names
    assert {"llm_inference/py.typed", "llm_inference_client/py.typed"} <= names


def test_wheel_is_small_and_needs_three_packages(wheel: Path) -> None:
    assert wheel.stat().st_size <= LARGEST
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        lines = archive.read(name).decode().splitlines()
    needed = {line.split(": ", 1)[1].split(">", 1)[0] for line in lines if line.startswith("Requires-Dist")}
    assert needed == {"grpcio", "protobuf", "googleapis-common-protos"}


def test_client_imports_nothing_of_the_service(wheel: Path) -> None:
    code = "import sys, llm_inference_client.aio; print([n for n in sys.modules if n.startswith('llm_inference_api')])"
    environment = {"PYTHONPATH": str(wheel), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
