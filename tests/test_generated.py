"""What is committed below `generated/` and `envoy/` is what the sources say."""

import subprocess
import sys
from pathlib import Path

import pytest

from tools.generate import PROJECT, generate, write_envoy_bootstrap, write_openapi


def files_below(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_generated_files_are_those_of_the_sources(tmp_path: Path) -> None:
    """Generating again changes nothing: stubs, typing stubs, descriptor set and OpenAPI document."""
    generate(tmp_path)
    write_openapi(tmp_path)
    assert files_below(tmp_path / "generated") == files_below(PROJECT / "generated")


def test_bootstrap_is_that_of_the_renderer(tmp_path: Path) -> None:
    """Rendering again changes nothing."""
    write_envoy_bootstrap(tmp_path)
    assert (tmp_path / "envoy/bootstrap.json").read_bytes() == (PROJECT / "envoy/bootstrap.json").read_bytes()


@pytest.mark.parametrize("arguments", [["lint"], ["format", "--diff", "--exit-code"], ["build", "-o", "/dev/null"]])
def test_protos_pass_buf(arguments: list[str]) -> None:
    """The protos build, follow the lint rules, and are formatted."""
    buf = Path(sys.executable).with_name("buf")
    done = subprocess.run([buf, *arguments], cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
