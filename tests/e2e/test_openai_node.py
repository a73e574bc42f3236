"""OpenAI's client of npm with the Responses API, and a model of random weights."""

from pathlib import Path

from tests.e2e import npm
from tests.e2e.service import RunningService

PACKAGE = Path(__file__).with_name("ai_sdk")

pytestmark = npm.needs(PACKAGE)


def test_client_streams_parses_calls_a_tool_and_finds_what_is_stored(service: RunningService) -> None:
    """All that it has methods for."""
    answer = npm.printed(PACKAGE / "openai.mjs", f"{service.url}/v1")
    assert answer.pop("text")
    assert {answer.pop("city"), answer.pop("called")} <= {"Rome", "Oslo"}
    assert answer == {
        "isWhole": True,
        "areNumbered": True,
        "tokens": 8,
        "isKept": True,
        "items": ["function_call_output"],
        "isCounted": True,
        "gone": "response_not_found",
    }
