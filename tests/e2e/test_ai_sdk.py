"""The AI SDK of npm with its model of OpenAI's chats, and a model of random weights."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.service import RunningService

PACKAGE = Path(__file__).with_name("ai_sdk")
NODE = shutil.which("node")

pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif(NODE is None, reason="Node.js is not installed (apt-get install nodejs npm)"),
    pytest.mark.skipif(not (PACKAGE / "node_modules").is_dir(), reason="`make clients` installs it"),
]


def test_chat_model_streams_and_returns_an_object(service: RunningService) -> None:
    """A streamed text with its usage, and an object of a schema."""
    assert NODE is not None
    command = [NODE, "chat.mjs", f"{service.url}/v1"]
    done = subprocess.run(command, cwd=PACKAGE, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["text"]
    assert 1 <= answer["tokens"] <= 8
    assert answer["city"] in ("Rome", "Oslo")
