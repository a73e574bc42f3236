"""OpenAI's Codex, which speaks the Responses API, with a model of random weights."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import npm
from tests.e2e.deciding import agent_service, deciding
from tests.e2e.service import RunningService

PACKAGE = Path(__file__).with_name("codex")
CODEX = PACKAGE / "node_modules" / ".bin" / "codex"
TOOL = "mcp__sky.weather"
CONTEXT = 16384
CONFIG = """
model = "tiny"
model_provider = "local"
model_instructions_file = "{home}/brief.md"
web_search = "{search}"
check_for_update_on_startup = false
[features]
goals = false
[agents]
enabled = false
[analytics]
enabled = false
[model_providers.local]
name = "local"
base_url = "{url}/v1"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
[mcp_servers.sky]
command = "{node}"
args = ["{weather}"]
"""

pytestmark = npm.needs(PACKAGE)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[RunningService]:
    """A service with room for what Codex says of itself, in tokens of several bytes."""
    with agent_service(tmp_path, CONTEXT) as running:
        yield running


def decided(body: dict[str, Any]) -> dict[str, Any]:
    """Returns a request with the decisions that are left to the model, as random weights make none.

    It calls the tool, and answers with an object, which has an end.
    """
    if any(item["type"] == "function_call_output" for item in body["input"]):
        schema = {"type": "object", "properties": {"is_sunny": {"const": True}}, "required": ["is_sunny"]}
        text = {"format": {"type": "json_schema", "name": "x", "schema": schema}}
        return {**body, "tool_choice": "none", "text": text}
    return {**body, "tool_choice": {"type": "function", "name": TOOL}}


def codex(home: Path, url: str, search: str) -> subprocess.CompletedProcess[str]:
    """Asks Codex once, in a directory of its own."""
    home.mkdir()
    config = CONFIG.format(home=home, url=url, search=search, node=npm.NODE, weather=npm.WEATHER)
    (home / "config.toml").write_text(config)
    (home / "brief.md").write_text("Be brief.")
    command = [str(CODEX), "exec", "--skip-git-repo-check", "--json", "What is the weather?"]
    variables = {"CODEX_HOME": str(home), "HOME": str(home), "PATH": f"{Path(npm.NODE or '').parent}:/usr/bin:/bin"}
    return subprocess.run(
        command,
        cwd=home,
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_codex_calls_a_tool_and_answers(service: RunningService, tmp_path: Path) -> None:
    """The tool is one of a namespace; what Codex sends by default is taken as it is."""
    with deciding(service, decided) as (url, seen):
        done = codex(tmp_path / "home", url, "disabled")
    assert done.returncode == 0, done.stdout + done.stderr
    items = [event["item"] for event in map(json.loads, done.stdout.splitlines()) if event["type"] == "item.completed"]
    (call,) = (item for item in items if item["type"] == "mcp_tool_call")
    assert (call["server"], call["tool"], call["status"]) == ("sky", "weather", "completed")
    (answer,) = (item for item in items if item["type"] == "agent_message")
    assert json.loads(answer["text"]) == {"is_sunny": True}
    first, second = seen
    assert first["include"] == ["reasoning.encrypted_content"]
    assert [item["type"] for item in second["input"][-2:]] == ["function_call", "function_call_output"]


def test_codex_says_which_tool_is_refused(service: RunningService, tmp_path: Path) -> None:
    """The search of the web, which it has unless it is told otherwise."""
    done = codex(tmp_path / "home", service.url, "cached")
    assert done.returncode != 0
    assert "'web_search' is not run here" in done.stdout
