"""Packages of npm, in the folders beside this file, and programs that use them."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

NODE = shutil.which("node")
WEATHER = Path(__file__).with_name("weather.mjs")
"""An MCP server with one tool, for agents."""


def needs(package: Path) -> list[pytest.MarkDecorator]:
    """Returns the marks of tests that need a package's modules."""
    return [
        pytest.mark.clients,
        pytest.mark.skipif(NODE is None, reason="Node.js is not installed (apt-get install nodejs npm)"),
        pytest.mark.skipif(not (package / "node_modules").is_dir(), reason="`make clients` installs it"),
    ]


def printed(program: Path, *arguments: str) -> dict[str, Any]:
    """Returns the JSON object that a program prints."""
    assert NODE is not None
    command = [NODE, program.name, *arguments]
    done = subprocess.run(command, cwd=program.parent, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found
