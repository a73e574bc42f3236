"""The AI SDK of npm with its models of OpenAI's chats and responses, and a model of random weights."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.service import RunningService

PACKAGE = Path(__file__).with_name("ai_sdk")
NODE = shutil.which("node")

pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif(NODE is None, reason="Node.js is not installed (apt-get install nodejs npm)"),
    pytest.mark.skipif(not (PACKAGE / "node_modules").is_dir(), reason="`make clients` installs it"),
]


def run(program: str, service: RunningService) -> dict[str, Any]:
    """Returns what a program of the SDK's prints."""
    assert NODE is not None
    command = [NODE, program, f"{service.url}/v1"]
    done = subprocess.run(command, cwd=PACKAGE, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed


def test_chat_model_streams_and_returns_an_object(service: RunningService) -> None:
    """A streamed text with its usage, and an object of a schema."""
    answer = run("chat.mjs", service)
    assert answer["text"]
    assert 1 <= answer["tokens"] <= 8
    assert answer["city"] in ("Rome", "Oslo")


def test_default_model_of_openai_calls_its_tool(service: RunningService) -> None:
    """It speaks the Responses API, and refers to stored items by their ids."""
    answer = run("responses.mjs", service)
    assert answer["text"]
    assert 1 <= answer["tokens"] <= 8
    assert answer["city"] in ("Rome", "Oslo")
    assert set(answer["results"]) == {"sunny"}
    assert answer["steps"] == 2
