"""Tools through both APIs, with a model of random weights: only the grammar can make its calls valid."""

import json
from typing import Any

import httpx
import jsonschema
import openai
import pytest

from tests.e2e.service import RunningService
from tests.e2e.sse import read

SCHEMA = {
    "type": "object",
    "properties": {"city": {"enum": ["Rome", "Oslo"]}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
TOOLS: Any = [
    {"type": "function", "function": {"name": "weather", "description": "Says the weather", "parameters": SCHEMA}},
    {"type": "function", "function": {"name": "now"}},
]
SAID: Any = [{"role": "user", "content": "How is it in Rome?"}]
FORCED: Any = {"type": "function", "function": {"name": "weather"}}


@pytest.fixture
def client(service: RunningService) -> openai.OpenAI:
    """OpenAI's client, which does not retry."""
    return openai.OpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0, timeout=60)


def chat(client: openai.OpenAI, **parameters: Any) -> Any:
    """Returns a completion with the tools."""
    fields = {"model": "tiny", "messages": SAID, "tools": TOOLS, "parallel_tool_calls": False, "max_tokens": 300}
    return client.chat.completions.create(**{**fields, **parameters})


def test_named_tool_is_called_with_valid_arguments(client: openai.OpenAI) -> None:
    """A forced call has an id, the tool's name and arguments after its schema."""
    choice = chat(client, tool_choice=FORCED).choices[0]
    (call,) = choice.message.tool_calls
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    assert (call.type, call.function.name) == ("function", "weather")
    jsonschema.validate(json.loads(call.function.arguments), SCHEMA)


def test_required_call_streams_as_openais_deltas(client: openai.OpenAI) -> None:
    """The stream's deltas add up to the call; the last choice says why it ended."""
    with client.chat.completions.stream(
        model="tiny", messages=SAID, tools=TOOLS, tool_choice="required", parallel_tool_calls=False, max_tokens=300
    ) as stream:
        stream.until_done()
        choice = stream.get_final_completion().choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls is not None
    assert choice.message.tool_calls[0].function.name in ("weather", "now")


def test_tools_result_can_be_sent_back(client: openai.OpenAI) -> None:
    """The assistant's message goes back as the client has it, with the result after it."""
    message = chat(client, tool_choice=FORCED).choices[0].message
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "sunny"}
    answer = chat(client, messages=[*SAID, message, result], tool_choice="none", max_tokens=5)
    assert answer.usage.prompt_tokens > chat(client, tool_choice="none", max_tokens=5).usage.prompt_tokens
    assert answer.choices[0].message.tool_calls is None


def test_none_leaves_the_tools_out(client: openai.OpenAI) -> None:
    """With tool_choice none the model is not told of the tools."""
    plain = chat(client, tools=openai.omit, parallel_tool_calls=openai.omit, max_tokens=1)
    assert chat(client, tool_choice="none", max_tokens=1).usage.prompt_tokens == plain.usage.prompt_tokens


@pytest.mark.parametrize(
    ("parameters", "param"),
    [
        ({"tool_choice": {"type": "function", "function": {"name": "other"}}}, "tool_choice"),
        ({"tool_choice": "perhaps"}, "tool_choice"),
        ({"tools": openai.omit, "tool_choice": "required", "parallel_tool_calls": openai.omit}, "tool_choice"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
        ({"tools": TOOLS * 2}, "tools"),
        ({"extra_body": {"ignore_eos": True}}, "ignore_eos"),
        ({"messages": [*SAID, {"role": "tool", "content": "x"}]}, "messages[1].tool_call_id"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(
    client: openai.OpenAI, parameters: dict[str, Any], param: str
) -> None:
    """Tools that make no sense are 400 with the field."""
    with pytest.raises(openai.BadRequestError) as found:
        chat(client, **parameters)
    assert found.value.param == param


@pytest.mark.parametrize("choice", ["auto", "required"])
def test_answer_is_a_call_or_follows_the_response_format(client: openai.OpenAI, choice: str) -> None:
    """With both tools and a schema, a model that calls none answers by the schema."""
    form = {"type": "json_schema", "json_schema": {"name": "weather", "schema": SCHEMA}}
    found = chat(client, tool_choice=choice, response_format=form, n=4, temperature=2).choices
    for message in (choice.message for choice in found):
        text = message.tool_calls[0].function.arguments if message.tool_calls else message.content
        assert choice == "auto" or message.tool_calls
        if not message.tool_calls or message.tool_calls[0].function.name == "weather":
            jsonschema.validate(json.loads(text), SCHEMA)


BODY = {
    "model": "tiny",
    "messages": SAID,
    "max_tokens": 300,
    "tools": [{"name": "weather", "description": "Says the weather", "parameters": json.dumps(SCHEMA)}],
    "tool_choice": {"mode": "REQUIRED"},
    "parallel_tool_calls": False,
}


def test_native_chat_has_the_calls_typed(http: httpx.Client) -> None:
    """POST /api/chat answers with a message that calls."""
    answer = http.post("/api/chat", json=BODY).json()
    assert answer["finish_reason"] == "TOOL_CALLS"
    (call,) = answer["message"]["tool_calls"]
    jsonschema.validate(json.loads(call["arguments"]), SCHEMA)


def test_native_stream_has_the_calls_in_deltas(http: httpx.Client) -> None:
    """The first delta of a call has its id and name, the further ones the arguments."""
    events = [event for event in read(http, "/api/chat/stream", BODY) if "progress" not in event]
    call, *more = [event["delta"]["tool_call"] for event in events if "tool_call" in event.get("delta", {})]
    assert (call["index"], call["name"]) == (0, "weather")
    assert all(part.keys() == {"index", "arguments"} for part in more)
    jsonschema.validate(json.loads("".join(part["arguments"] for part in more)), SCHEMA)
    assert events[-1]["finish_reason"] == "TOOL_CALLS"
