"""The AI SDK of npm with its models of OpenAI's chats and responses, and a model of random weights."""

from pathlib import Path

from tests.e2e import npm
from tests.e2e.service import RunningService

PACKAGE = Path(__file__).with_name("ai_sdk")

pytestmark = npm.needs(PACKAGE)


def test_chat_model_streams_and_returns_an_object(service: RunningService) -> None:
    """A streamed text with its usage, and an object of a schema."""
    answer = npm.printed(PACKAGE / "chat.mjs", f"{service.url}/v1")
    assert answer["text"]
    assert 1 <= answer["tokens"] <= 8
    assert answer["city"] in ("Rome", "Oslo")


def test_default_model_of_openai_calls_its_tool(service: RunningService) -> None:
    """It speaks the Responses API, and refers to stored items by their ids, or sends them again."""
    answer = npm.printed(PACKAGE / "responses.mjs", f"{service.url}/v1")
    assert answer["text"]
    assert 1 <= answer["tokens"] <= 8
    assert answer["city"] in ("Rome", "Oslo")
    assert answer["steps"] == [["sunny", 2], ["sunny", 2]]
