import json
import time
from dataclasses import replace
from typing import Any

import pytest

from llm_inference_api.api.openai.params import ChatCompletionParams, CompletionParams, EmbeddingParams, parse
from llm_inference_api.api.openai.reading import read_chat, read_completion
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.chat import Ending
from llm_inference_api.requests.limits import Limits
from llm_inference_api.requests.request import GenerationRequest

SAID = [{"role": "user", "content": "hi"}]
DEEP: dict[str, Any] = {}
for _ in range(70):
    DEEP = {"items": DEEP}
LIMITS = Limits(temperature=0.7, top_p=0.9, max_tokens=4096, answers=10)


def chat(**fields: Any) -> ChatCompletionParams:
    return parse(ChatCompletionParams, json.dumps({"messages": SAID, **fields}).encode())


def asked(params: ChatCompletionParams) -> GenerationRequest:
    """Returns what is asked, without what is another for each request."""
    request = read_chat(params, LIMITS)
    sampling = replace(request.sampling, seed=0) if params.seed is None else request.sampling
    return replace(request, id="", created=0, sampling=sampling)


@pytest.mark.parametrize(
    "field",
    ["user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "verbosity", "prediction"],
)
def test_fields_that_mean_nothing_here_are_accepted(field: str) -> None:
    """What concerns OpenAI's own business changes no answer and is no error."""
    assert asked(chat(**{field: {"a": 1}})) == asked(chat())


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
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type"),
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


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"messages": [1] * 1000}, "messages[0]"),
        ({"messages": [1] * 100_000}, "messages"),
        ({"messages": [{"role": "assistant", "tool_calls": [1] * 1000}]}, "messages[0].tool_calls[0]"),
        ({"messages": [{"role": "assistant", "tool_calls": [1] * 30_000}]}, "messages[0].tool_calls"),
        ({"messages": [{"role": "user", "content": [1] * 100_000}]}, "messages[0].content"),
        ({"messages": [{"role": "user", **{f"a{index}": 1 for index in range(30_000)}}]}, "messages[0].a0"),
        ({"stop": [1] * 100_000}, "stop"),
        ({"tools": [1] * 100_000}, "tools"),
        ({"tools": [1] * 100}, "tools[0]"),
        ({"modalities": [1] * 100_000}, "modalities[0]"),
        ({"logit_bias": {str(index): "x" for index in range(30_000)}}, "logit_bias"),
        ({f"a{index}": 1 for index in range(30_000)}, "a0"),
        ({"stream_options": {f"a{index}": 1 for index in range(30_000)}}, "stream_options.a0"),
        ({"temperature": [1] * 100_000}, "temperature"),
        ({"temperature": {f"a{index}": 1 for index in range(30_000)}}, "temperature"),
    ],
)
def test_reading_ends_at_the_first_error(fields: dict[str, Any], path: str) -> None:
    """Counts come before contents, and one error is made: to make one for each item takes a second here."""
    body = json.dumps({"messages": SAID, **fields}).encode()
    started = time.process_time()
    with pytest.raises(InvalidFieldError) as found:
        parse(ChatCompletionParams, body)
    assert time.process_time() - started < 0.2
    assert found.value.field == path
    assert len(str(found.value)) < 400


@pytest.mark.parametrize(
    ("kind", "body", "path"),
    [
        (CompletionParams, b'{"prompt": [' + b"1," * 100_000 + b"1]}", "prompt"),
        (EmbeddingParams, b'{"input": [' + b'"",' * 100_000 + b'""]}', "input"),
        (EmbeddingParams, b'{"input": [' + b"[1]," * 1000 + b'"x"]}', "input"),
    ],
)
def test_items_are_counted_before_they_are_read(kind: type[Any], body: bytes, path: str) -> None:
    """A list that is too long is refused for that, whatever stands in it."""
    with pytest.raises(InvalidFieldError, match=r"must have (exactly one prompt|1 to 128 items), not 1?00") as found:
        parse(kind, body)
    assert found.value.field == path


@pytest.mark.parametrize("body", [b"{", b"", b"\xff", b"[" * 10_000, b'{"messages": [NaN]}', b'{"model": "\\ud800"}'])
def test_body_that_is_no_json_is_refused(body: bytes) -> None:
    """The error names the body, and what the parser says of it."""
    with pytest.raises(InvalidFieldError, match=r"^(body: is no valid JSON|messages.0.)"):
        parse(ChatCompletionParams, body)


def test_null_is_as_if_left_out() -> None:
    """Clients send null for what they leave to the service."""
    names = ["temperature", "max_tokens", "stop", "seed", "n", "logit_bias", "stream_options", "tools", "tool_choice"]
    fields = dict.fromkeys([*names, "functions", "audio", "reasoning_effort", "suffix", "web_search_options"])
    assert asked(chat(**fields)) == asked(chat())


def test_developer_is_the_system() -> None:
    """Models know no role called developer."""
    assert asked(chat(messages=[{"role": "developer", "content": "x"}])).prompt[0].role == "system"


def test_contradicting_limits_are_refused() -> None:
    """max_tokens and max_completion_tokens are one limit; two values for it are none."""
    with pytest.raises(InvalidFieldError, match="contradicts"):
        asked(chat(max_tokens=1, max_completion_tokens=2))


def test_schema_keeps_the_order_of_its_keys() -> None:
    """The model writes the properties in the order in which the caller thinks of them."""
    schema = {"type": "object", "properties": {"z": {}, "a": {}}}
    request = asked(chat(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}))
    assert request.constraint is not None
    assert request.constraint.source == json.dumps(schema)


def test_usage_is_asked_for_with_streams_only() -> None:
    """stream_options without a stream is an error, as at OpenAI."""
    with pytest.raises(InvalidFieldError, match="stream_options: needs stream"):
        asked(chat(stream_options={"include_usage": True}))


def test_one_prompt_may_stand_in_a_list() -> None:
    """A list of one prompt is that prompt; several are refused, not cut."""
    one = parse(CompletionParams, b'{"prompt": ["a"]}')
    assert read_completion(one, LIMITS).prompt == "a"
    with pytest.raises(InvalidFieldError, match="prompt: must have exactly one prompt"):
        read_completion(parse(CompletionParams, b'{"prompt": ["a", "b"]}'), LIMITS)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"max_completion_tokens": 5000}, "max_completion_tokens"),
        ({"max_tokens": 5000}, "max_tokens"),
        ({"response_format": {"type": "json_object"}, "ignore_eos": True}, "ignore_eos"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": DEEP}}}, "response_format"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"n": 11}, "n"),
        ({"seed": -1}, "seed"),
        ({"top_k": 1 << 40}, "top_k"),
        ({"temperature": 2.5}, "temperature"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logit_bias": {"x": 1}}, "logit_bias"),
        ({"logit_bias": {"1": 101}}, "logit_bias[1]"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": ""}, "stop[0]"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"continue_final_message": True, "add_generation_prompt": True}, "continue_final_message"),
        ({"continue_final_message": True}, "continue_final_message"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
    ],
)
def test_value_that_cannot_be_honoured_is_refused_by_the_name_that_was_sent(fields: dict[str, Any], field: str) -> None:
    """Inside, the fields have the typed API's names; the caller reads its own."""
    with pytest.raises(InvalidFieldError) as found:
        asked(chat(**fields))
    assert found.value.field == field


def test_answer_can_be_sent_back_with_all_its_fields() -> None:
    """Clients dump the assistant's message with nulls and thoughts; what it said and called is kept."""
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}, "index": 0}
    said = {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "hm"}
    message = {**said, **dict.fromkeys(["refusal", "annotations", "audio", "function_call"])}
    result = {"role": "tool", "tool_call_id": "1", "content": "done"}
    request = asked(chat(messages=[*SAID, message, result]))
    assert request.prompt[1].tool_calls[0].name == "f"
    assert request.prompt[1].reasoning == "hm"
    assert request.prompt[2].tool_call_id == "1"


@pytest.mark.parametrize(
    "thoughts",
    [
        {"reasoning_content": "hm"},
        {"reasoning": "hm"},
        {"reasoning_details": [{"type": "reasoning.text", "text": "h"}, {"type": "reasoning.summary", "summary": "m"}]},
        {"reasoning_content": None, "reasoning": "hm", "reasoning_details": None},
    ],
)
def test_thoughts_of_an_earlier_answer_are_taken_by_any_of_their_names(thoughts: dict[str, Any]) -> None:
    """Servers and routers name them differently, and clients send back what they were given."""
    request = asked(chat(messages=[*SAID, {"role": "assistant", "content": "Ho", **thoughts}, *SAID]))
    assert request.prompt[1].reasoning == "hm"


def test_parts_of_a_message_are_lines() -> None:
    """The last word of a part and the first of the next stay two words."""
    parts = [{"type": "text", "text": "What is"}, {"type": "text", "text": "the best book"}]
    assert asked(chat(messages=[{"role": "user", "content": parts}])).prompt[0].content == "What is\nthe best book"


def test_empty_message_of_the_user_is_a_message() -> None:
    """Templates render it like others."""
    assert asked(chat(messages=[{"role": "user", "content": ""}])).prompt[0].content == ""


@pytest.mark.parametrize(
    ("fields", "end"),
    [
        ({}, Ending.CONTINUE),
        ({"continue_final_message": True, "add_generation_prompt": False}, Ending.CONTINUE),
        ({"add_generation_prompt": True}, Ending.ANSWER),
        ({"continue_final_message": False}, Ending.ANSWER),
        ({"add_generation_prompt": False}, Ending.CLOSED),
    ],
)
def test_end_of_the_prompt_is_the_callers_to_choose(fields: dict[str, Any], end: Ending) -> None:
    """The names are vLLM's; without them an assistant's last message is continued."""
    assert asked(chat(messages=[*SAID, {"role": "assistant", "content": "Ho"}], **fields)).ending is end
