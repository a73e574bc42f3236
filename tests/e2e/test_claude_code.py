"""Anthropic's Claude Code, which speaks the Messages API, with a model of random weights."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import npm
from tests.e2e.deciding import Body, agent_service, deciding
from tests.e2e.service import RunningService

PACKAGE = Path(__file__).with_name("claude_code")
CLAUDE = PACKAGE / "node_modules" / ".bin" / "claude"
TOOL = "mcp__sky__weather"
CONTEXT = 16384

pytestmark = [*npm.needs(PACKAGE), pytest.mark.timeout(300)]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[RunningService]:
    """A service with room for what Claude Code says of itself and its tools, in tokens of several bytes."""
    with agent_service(tmp_path, CONTEXT) as running:
        yield running


def decided(body: Body) -> Body:
    """Returns a request with the decisions that are left to the model, as random weights make none.

    It calls the tool, and answers with an object, which has an end. The other tools, whose descriptions are most of the
    prompt, are left out.
    """
    asked = {**body, "tools": [tool for tool in body["tools"] if tool["name"] == TOOL]}
    if "tool_result" not in json.dumps(body["messages"]):
        return {**asked, "tool_choice": {"type": "tool", "name": TOOL}}
    schema = {"type": "object", "properties": {"is_sunny": {"const": True}}, "required": ["is_sunny"]}
    output = {**body["output_config"], "format": {"type": "json_schema", "schema": schema}}
    return {**asked, "tool_choice": {"type": "none"}, "output_config": output}


def undescribed(value: Any) -> Any:
    """Returns a schema without the words in it."""
    if isinstance(value, list):
        return [undescribed(each) for each in value]
    if isinstance(value, dict):
        kept = {name: each for name, each in value.items() if name != "description" or not isinstance(each, str)}
        return {name: undescribed(each) for name, each in kept.items()}
    return value


def claude(home: Path, url: str) -> list[dict[str, Any]]:
    """Asks Claude Code once, in a directory of its own, and returns what it says of its work."""
    home.mkdir()
    servers = {"mcpServers": {"sky": {"command": npm.NODE, "args": [str(npm.WEATHER)]}}}
    command = [str(CLAUDE), "-p", "What is the weather?", "--output-format", "stream-json", "--verbose"]
    command += ["--mcp-config", json.dumps(servers), "--allowedTools", TOOL]
    variables = {
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_AUTH_TOKEN": "none",
        "ANTHROPIC_MODEL": "tiny",
        "ANTHROPIC_SMALL_FAST_MODEL": "tiny",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "HOME": str(home),
        "PATH": f"{Path(npm.NODE or '').parent}:/usr/bin:/bin",
    }
    done = subprocess.run(
        command,
        cwd=home,
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_claude_code_calls_a_tool_and_answers(service: RunningService, tmp_path: Path) -> None:
    """What it sends by default is taken: an effort, edits of the context, reminders, the schemas of its tools."""
    with deciding(service, decided) as (url, seen):
        said = claude(tmp_path / "home", url)
    assert (said[-1]["type"], said[-1]["is_error"], said[-1]["num_turns"]) == ("result", False, 2)
    assert json.loads(said[-1]["result"]) == {"is_sunny": True}
    blocks = [
        block for event in said if event["type"] in ("assistant", "user") for block in event["message"]["content"]
    ]
    assert [block["type"] for block in blocks if block["type"] != "thinking"] == ["tool_use", "tool_result", "text"]
    assert "sunny in" in json.dumps(blocks)
    tools = [
        {**tool, "input_schema": undescribed(tool["input_schema"]), "description": ""} for tool in seen[0]["tools"]
    ]
    asked = {**seen[0], "system": [], "tools": tools, "tool_choice": {"type": "any"}, "max_tokens": 1, "stream": False}
    with service.http() as http:
        answer = http.post("/v1/messages?beta=true", json=asked)
    assert answer.status_code == 200, answer.text
