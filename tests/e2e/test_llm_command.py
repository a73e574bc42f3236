"""Simon Willison's `llm`, a command, with a model of random weights: only the service makes answers valid."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from tests.e2e.service import RunningService

pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif(find_spec("llm") is None, reason="the extra `clients` is not installed"),
]


def test_command_answers_by_a_schema(service: RunningService, tmp_path: Path) -> None:
    """Models of other servers stand in a file of the user's; the answer is read from a stream."""
    model = {"model_id": "tiny", "model_name": "tiny", "api_base": f"{service.url}/v1", "supports_schema": True}
    (tmp_path / "extra-openai-models.yaml").write_text(yaml.safe_dump([model]))
    schema = json.dumps({"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]})
    command = [sys.executable, "-m", "llm", "prompt", "Yes or no?", "-m", "tiny", "--key", "none", "--schema", schema]
    done = subprocess.run(
        [*command, "-o", "max_tokens", "400", "-o", "seed", "3"],
        env={**os.environ, "LLM_USER_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert isinstance(json.loads(done.stdout)["ok"], bool)
