import json
from typing import Any

import pytest

from llm_inference_api.api.openai import wire
from llm_inference_api.api.openai.requests import ChatCompletionParams, CompletionParams, parse
from llm_inference_api.errors import InvalidFieldError

SAID = [{"role": "user", "content": "hi"}]


def chat(**fields: Any) -> ChatCompletionParams:
    return parse(ChatCompletionParams, json.dumps({"messages": SAID, **fields}).encode())


@pytest.mark.parametrize(
    "field",
    ["user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "verbosity", "prediction"],
)
def test_fields_that_mean_nothing_here_are_accepted(field: str) -> None:
    """What concerns OpenAI's own business changes no answer and is no error."""
    assert wire.chat_request(chat(**{field: {"a": 1}})) == wire.chat_request(chat())


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"messages": [{"role": "user", "content": 1}]}, "messages[0].content"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role"),
        ({"stop": [1]}, "stop[0]"),
        ({"stream_options": {"include_obfuscation": True}}, "stream_options.include_obfuscation"),
        ({"temperature": "1"}, "temperature"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"modalities": ["audio"]}, "modalities[0]"),
        ({"audio": {}}, "audio"),
        ({"reasoning_effort": "low"}, "reasoning_effort"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "y": 1}]}]}, "messages[0].content"),
        ({"tools": [{"type": "function", "function": {"name": 1}}]}, "tools[0].function.name"),
        ({"tool_choice": {"type": "allowed_tools"}}, "tool_choice.type"),
        ({"stream": 1}, "stream"),
    ],
)
def test_wrong_type_is_refused_with_its_path(fields: dict[str, Any], path: str) -> None:
    """Nothing is converted silently: the caller reads where the value stands that is of no use."""
    with pytest.raises(InvalidFieldError) as found:
        chat(**fields)
    assert found.value.field == path


def test_error_repeats_no_long_value() -> None:
    """A wrong value is shown, but not a megabyte of it."""
    with pytest.raises(InvalidFieldError) as found:
        chat(temperature="x" * 10_000)
    assert len(str(found.value)) < 300


def test_null_is_as_if_left_out() -> None:
    """Clients send null for what they leave to the service."""
    names = ["temperature", "max_tokens", "stop", "seed", "n", "logit_bias", "stream_options", "tools", "tool_choice"]
    fields = dict.fromkeys([*names, "functions", "audio", "reasoning_effort", "suffix", "web_search_options"])
    assert wire.chat_request(chat(**fields)) == wire.chat_request(chat())


def test_developer_is_the_system() -> None:
    """Models know no role called developer."""
    assert wire.chat_request(chat(messages=[{"role": "developer", "content": "x"}])).messages[0].role == "system"


def test_contradicting_limits_are_refused() -> None:
    """max_tokens and max_completion_tokens are one limit; two values for it are none."""
    with pytest.raises(InvalidFieldError, match="contradicts"):
        wire.chat_request(chat(max_tokens=1, max_completion_tokens=2))


def test_schema_keeps_the_order_of_its_keys() -> None:
    """The model writes the properties in the order in which the caller thinks of them."""
    schema = {"type": "object", "properties": {"z": {}, "a": {}}}
    request = wire.chat_request(
        chat(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}})
    )
    assert request.json_schema == json.dumps(schema)


def test_usage_is_asked_for_with_streams_only() -> None:
    """stream_options without a stream is an error, as at OpenAI."""
    with pytest.raises(InvalidFieldError, match="stream_options: needs stream"):
        wire.chat_request(chat(stream_options={"include_usage": True}))


def test_one_prompt_may_stand_in_a_list() -> None:
    """A list of one prompt is that prompt; several are refused, not cut."""
    one = parse(CompletionParams, b'{"prompt": ["a"]}')
    assert wire.generate_request(one).prompt == "a"
    with pytest.raises(InvalidFieldError, match="prompt: one prompt"):
        wire.generate_request(parse(CompletionParams, b'{"prompt": ["a", "b"]}'))


def test_error_of_the_typed_api_names_what_the_caller_sent() -> None:
    """Inside, the limit is called max_tokens; who sent max_completion_tokens reads that."""
    with pytest.raises(InvalidFieldError) as found, wire.openai_names(chat(max_completion_tokens=1)):
        raise InvalidFieldError("max_tokens", "too large")
    assert found.value.field == "max_completion_tokens"


def test_answer_can_be_sent_back_with_all_its_fields() -> None:
    """Clients dump the assistant's message with nulls and thoughts; what it said and called is kept."""
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}, "index": 0}
    said = {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "hm"}
    message = {**said, **dict.fromkeys(["refusal", "annotations", "audio", "function_call"])}
    result = {"role": "tool", "tool_call_id": "1", "content": "done"}
    request = wire.chat_request(chat(messages=[*SAID, message, result]))
    assert request.messages[1].tool_calls[0].name == "f"
    assert request.messages[2].tool_call_id == "1"
