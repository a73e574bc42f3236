"""Anthropic's own client, with the demo model, which calls its tool and answers."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.service import RunningService

anthropic: Any = pytest.importorskip("anthropic", reason="the extra `clients` is not installed")

pytestmark = [pytest.mark.clients, pytest.mark.filterwarnings("ignore")]  # Its warnings are not ours.

SUNNY = "It is sunny in Paris, with 21 degrees."
FIELDS: dict[str, Any] = {"model": "demo", "max_tokens": 100, "extra_body": {"temperature": 0}}


@pytest.fixture
def client(demo: RunningService) -> Iterator[Any]:
    with anthropic.Anthropic(base_url=demo.url, api_key="none", max_retries=0, timeout=60) as client:
        yield client


def user(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


@pytest.mark.parametrize("is_beta", [False, True])
def test_answer_and_stream_are_the_same(client: Any, *, is_beta: bool) -> None:
    """Of the API, and of its betas, which the client asks for in the query."""
    api = client.beta.messages if is_beta else client.messages
    whole = api.create(messages=user("What is 2+2?"), **FIELDS)
    with api.stream(messages=user("What is 2+2?"), **FIELDS) as stream:
        texts = list(stream.text_stream)
        final = stream.get_final_message()
    assert "".join(texts) == final.content[0].text == whole.content[0].text == "The answer is 4."
    assert (final.stop_reason, final.usage.output_tokens) == (whole.stop_reason, whole.usage.output_tokens)


async def test_asynchronous_client_streams(demo: RunningService) -> None:
    """With the same words."""
    async with (
        anthropic.AsyncAnthropic(base_url=demo.url, api_key="none", max_retries=0, timeout=60) as client,
        client.messages.stream(messages=user("What is 2+2?"), **FIELDS) as stream,
    ):
        assert await stream.get_final_text() == "The answer is 4."


@pytest.mark.parametrize("streams", [False, True])
def test_tool_runner_calls_a_function_and_answers(client: Any, *, streams: bool) -> None:
    """The client's loop runs until no tool is called."""
    asked = []

    @anthropic.beta_tool
    def get_weather(city: str) -> str:
        """Get the weather of a city.

        Args:
            city: Name of the city.
        """
        asked.append(city)
        return json.dumps({"city": city, "temperature": 21, "condition": "sunny"})

    runner = client.beta.messages.tool_runner(
        tools=[get_weather], messages=user("What is the weather in Paris?"), stream=streams, **FIELDS
    )
    message = runner.until_done()
    assert (asked, message.content[-1].text) == (["Paris"], SUNNY)


def test_object_of_a_schema_is_read(client: Any) -> None:
    """As the format of the output."""
    schema = {"type": "object", "properties": {"city": {"enum": ["Rome"]}}, "required": ["city"]}
    wanted = {"format": {"type": "json_schema", "schema": {**schema, "additionalProperties": False}}}
    answer = client.messages.create(messages=user("Where?"), output_config=wanted, **FIELDS)
    assert json.loads(answer.content[0].text) == {"city": "Rome"}


@pytest.mark.parametrize("is_beta", [False, True])
def test_tokens_are_counted(client: Any, *, is_beta: bool) -> None:
    """As many as are computed."""
    api = client.beta.messages if is_beta else client.messages
    counted = api.count_tokens(model="demo", messages=user("What is 2+2?")).input_tokens
    usage = api.create(messages=user("What is 2+2?"), **FIELDS).usage
    assert counted == usage.input_tokens + usage.cache_read_input_tokens


def test_errors_have_their_classes(client: Any) -> None:
    """By their status, with the service's words."""
    with pytest.raises(anthropic.NotFoundError, match="GET /v1/models"):
        client.messages.create(messages=user("Hi"), **{**FIELDS, "model": "none"})
    with pytest.raises(anthropic.BadRequestError, match="the prompt is too long"):
        client.messages.create(messages=user("x" * 20_000), **FIELDS)
