"""Parameters of the Responses API as requests."""

import json
from typing import Any

import pytest

from llm_inference_api.api.openai.responses.conversation import Placed
from llm_inference_api.api.openai.responses.items import ReferenceItem, read_item
from llm_inference_api.api.openai.responses.params import InputTokensParams, ResponseParams, parse
from llm_inference_api.api.openai.responses.reading import caller_names, read_response
from llm_inference_api.api.openai.responses.tools import functions_of
from llm_inference_api.errors import ContextLengthError, InvalidFieldError
from llm_inference_api.requests.chat import Ending, Message
from llm_inference_api.requests.constraint import Language
from llm_inference_api.requests.limits import Limits
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.requests.tools import ToolMode

LIMITS = Limits(temperature=0.7, top_p=0.9, max_tokens=4096, answers=10)
TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}
SPACE = {"type": "namespace", "name": "crm", "description": "Customers.", "tools": [TOOL]}


def parsed(**fields: Any) -> ResponseParams:
    return parse(ResponseParams, json.dumps({"input": "hi", **fields}).encode())


def asked(**fields: Any) -> GenerationRequest:
    params = parsed(**fields)
    items = []
    for index, value in enumerate(params.input):
        item = read_item(value, ("input", index))
        assert not isinstance(item, ReferenceItem)
        items.append(Placed(f"input[{index}]", item))
    return read_response(params, items, functions_of(params.tools), LIMITS)


def test_text_is_the_users_message() -> None:
    request = asked()
    assert request.prompt == (Message("user", "hi"),)
    assert request.id.startswith("resp_")


def test_instructions_are_the_system_message() -> None:
    assert asked(instructions="Be brief.").prompt == (Message("system", "Be brief."), Message("user", "hi"))


def test_system_messages_join_the_instructions() -> None:
    said = [{"role": "developer", "content": "In verse."}, {"role": "user", "content": "hi"}]
    found = asked(instructions="Be brief.", input=said).prompt
    assert found == (Message("system", "Be brief.\n\nIn verse."), Message("user", "hi"))


def test_system_messages_at_the_beginning_are_one() -> None:
    """Of a client that sends no instructions, such as Codex."""
    said = [{"role": "developer", "content": "Be brief."}, {"role": "system", "content": "In verse."}]
    later = [{"role": "user", "content": "hi"}, {"role": "developer", "content": "Now."}]
    assert asked(input=[*said, *later]).prompt == (
        Message("system", "Be brief.\n\nIn verse."),
        Message("user", "hi"),
        Message("system", "Now."),
    )


def test_cache_key_is_the_session() -> None:
    """A cluster sends its requests to one replica."""
    assert asked(prompt_cache_key="k").session == "k"


def test_answer_to_an_assistants_message_is_a_message_of_its_own() -> None:
    said = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]
    assert asked(input=said).ending is Ending.ANSWER


def test_sampling_and_limits_are_read() -> None:
    request = asked(temperature=0.5, top_p=0.4, seed=3, max_output_tokens=7, top_k=2)
    assert (request.sampling.temperature, request.sampling.top_p, request.sampling.seed) == (0.5, 0.4, 3)
    assert request.sampling.top_k == 2
    assert request.stopping.max_tokens == 7


@pytest.mark.parametrize(
    ("fields", "logprobs"),
    [
        ({}, None),
        ({"top_logprobs": 0}, None),
        ({"top_logprobs": 2}, 2),
        ({"include": ["message.output_text.logprobs"]}, 0),
        ({"include": ["message.output_text.logprobs"], "top_logprobs": 3}, 3),
    ],
)
def test_log_probabilities_are_asked_for_by_either_field(fields: dict[str, Any], logprobs: int | None) -> None:
    assert asked(**fields).sampling.logprobs == logprobs


def test_tool_is_a_function_with_its_strictness() -> None:
    use = asked(tools=[{**TOOL, "strict": True, "description": "Says it"}], parallel_tool_calls=False).tools
    assert use is not None
    (tool,) = use.tools
    assert (tool.name, tool.description, tool.strict, tool.field) == ("weather", "Says it", True, "tools[0].parameters")
    assert not use.parallel


def test_function_of_a_namespace_has_both_names_and_descriptions() -> None:
    use = asked(tools=[TOOL, {**SPACE, "tools": [{**TOOL, "description": "Says it"}]}]).tools
    assert use is not None
    assert [tool.name for tool in use.tools] == ["weather", "crm.weather"]
    assert use.tools[1].description == "Customers.\nSays it"
    assert use.tools[1].field == "tools[1].tools[0].parameters"


@pytest.mark.parametrize(
    ("choice", "mode", "function"),
    [
        ("auto", ToolMode.AUTO, None),
        ("required", ToolMode.REQUIRED, None),
        ({"type": "function", "name": "weather"}, ToolMode.REQUIRED, "weather"),
    ],
)
def test_tool_choice_is_a_mode_or_a_function(choice: Any, mode: ToolMode, function: str | None) -> None:
    use = asked(tools=[TOOL], tool_choice=choice).tools
    assert use is not None
    assert (use.mode, use.function) == (mode, function)


def test_choice_of_none_leaves_the_tools_out() -> None:
    assert asked(tools=[TOOL], tool_choice="none").tools is None


def test_choice_and_parallel_calls_may_be_sent_without_tools() -> None:
    """Clients send both always."""
    assert asked(tools=[], tool_choice="auto", parallel_tool_calls=True).tools is None


def test_format_is_a_constraint() -> None:
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}}
    found = asked(text={"format": {"type": "json_schema", "name": "x", "schema": schema, "strict": True}}).constraint
    assert found is not None
    assert found.language is Language.JSON_SCHEMA
    assert json.loads(found.source) == schema
    assert asked(text={"format": {"type": "text"}}).constraint is None
    assert asked(text={"format": {"type": "json_object"}}).constraint is not None


def test_effort_is_that_of_thinking() -> None:
    assert asked(reasoning={"effort": "low", "summary": "auto"}).thinking.effort == "low"
    assert asked(reasoning={"effort": "none"}).thinking.enabled is False


@pytest.mark.parametrize(
    "fields",
    [
        {"service_tier": "auto", "prompt_cache_key": "k", "safety_identifier": "s", "max_tool_calls": 3},
        {"background": False, "conversation": None, "prompt": None, "truncation": "disabled"},
        {"stream": True, "stream_options": {"include_obfuscation": False}},
        {"text": {"verbosity": "low"}},
        {"include": []},
        {"include": ["reasoning.encrypted_content", "web_search_call.action.sources"]},
        {"reasoning": {"summary": "auto", "mode": "standard", "context": "auto"}},
        {"client_metadata": {"session_id": "s"}},
        {"prompt_cache_options": {"ttl": "30m", "prewarm": False}},
        {"tools": None},
    ],
)
def test_fields_without_effect_are_accepted(fields: dict[str, Any]) -> None:
    assert asked(**fields).prompt == (Message("user", "hi"),)


@pytest.mark.parametrize(
    ("fields", "field", "problem"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools[0].type", "'web_search' is not run here"),
        ({"tools": [{"type": "file_search", "vector_store_ids": []}]}, "tools[0].type", "'file_search'"),
        ({"tools": [{"type": "custom", "name": "x"}]}, "tools[0].type", "'custom'"),
        ({"tools": [TOOL], "tool_choice": {"type": "web_search"}}, "tool_choice.type", "'web_search'"),
        ({"tools": [TOOL], "tool_choice": {"type": "allowed_tools", "mode": "auto"}}, "tool_choice.type", "'function'"),
        ({"tools": [SPACE, {**TOOL, "name": "a b"}]}, "tools[1].name", "letters"),
        ({"tools": [{**SPACE, "tools": [TOOL, {**TOOL, "name": "a b"}]}]}, "tools[0].tools[1].name", "letters"),
        ({"tools": [{**SPACE, "tools": [{"type": "custom", "name": "x"}]}]}, "tools[0].tools[0].type", "'function'"),
        ({"tools": [TOOL], "tool_choice": {"type": "function"}}, "tool_choice", "name a function"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "name": "x"}}, "tool_choice", "not one of the tools"),
        ({"tool_choice": "required"}, "tool_choice", "needs tools"),
        ({"tools": [{**TOOL, "name": "a b"}]}, "tools[0].name", "letters"),
        ({"tools": [TOOL, TOOL]}, "tools", "more than once"),
        ({"background": True}, "background", "while its caller waits"),
        ({"conversation": "conv_1"}, "conversation", "keeps no conversations"),
        ({"prompt": {"id": "p"}}, "prompt", "keeps no prompts"),
        ({"include": ["reasoning.encrypted_content", "other"]}, "include[1]", "'other' is not known"),
        ({"stream_options": {"include_obfuscation": False}}, "stream_options", "needs stream"),
        (
            {"stream": True, "stream_options": {"include_obfuscation": True}},
            "stream_options.include_obfuscation",
            "false",
        ),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema", "required"),
        ({"text": {"format": {"type": "text", "schema": {}}}}, "text.format.schema", "no other"),
        ({"text": {"format": {"type": "json_object"}}, "ignore_eos": True}, "ignore_eos", "contradicts text.format"),
        ({"max_output_tokens": 0}, "max_output_tokens", "at least 1"),
        ({"temperature": 3}, "temperature", "from 0 to 2"),
        ({"top_logprobs": 21}, "top_logprobs", "from 0 to 20"),
        ({"metadata": {"k" * 65: "v"}}, "metadata", "64"),
        ({"metadata": {"k": 1}}, "metadata.k", "string"),
        ({"metadata": {str(key): "" for key in range(17)}}, "metadata", "17 pairs"),
        ({"reasoning": {"effort": ""}}, "reasoning.effort", "characters"),
        ({"reasoning": {"mode": "pro"}}, "reasoning.mode", "'standard'"),
        ({"reasoning": {"context": "all_turns"}}, "reasoning.context", "chat template"),
        ({"prompt_cache_options": {"prewarm": True}}, "prompt_cache_options.prewarm", "false"),
        ({"truncation": "some"}, "truncation", "'auto'"),
        ({"foo": 1}, "foo", "not a parameter"),
        ({"input": 5}, "input", "list"),
        ({"input": []}, "input", "1 to 1024"),
        ({"input": [{"role": "user", "content": "x"}] * 1025}, "input", "1024 messages"),
        ({"input": [{"role": "user", "content": "x"}] * 4097}, "input", "4097 items"),
        (
            {"input": [{"role": "user", "content": "x"}, {**TOOL, "type": "function_call"}]},
            "input[1].call_id",
            "missing",
        ),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_field(fields: dict[str, Any], field: str, problem: str) -> None:
    with pytest.raises(InvalidFieldError) as found:
        asked(**fields)
    assert found.value.field == field
    assert problem in found.value.problem


def test_error_of_a_message_names_the_item_that_it_comes_from() -> None:
    with pytest.raises(InvalidFieldError, match=r"^input\[3\]: ") as found, caller_names(["instructions", "input[3]"]):
        raise InvalidFieldError("messages[1].content", "is odd")
    assert found.value.problem == "is odd"


def test_error_of_all_messages_names_the_input() -> None:
    with pytest.raises(InvalidFieldError, match=r"^input: "), caller_names(["input[0]"]):
        raise InvalidFieldError("messages", "is odd")


def test_too_long_prompt_is_the_input() -> None:
    with pytest.raises(ContextLengthError) as found, caller_names():
        raise ContextLengthError(9, 8, True, "messages")
    assert found.value.field == "input"
    assert found.value.prompt_tokens == 9


def test_counted_request_has_no_sampling() -> None:
    params = parse(InputTokensParams, b'{"input": "hi", "instructions": "Be brief."}')
    item = read_item(params.input[0], ("input", 0))
    assert not isinstance(item, ReferenceItem)
    assert len(read_response(params, [Placed("input[0]", item)], [], LIMITS).prompt) == 2
    with pytest.raises(InvalidFieldError, match=r"^temperature: "):
        parse(InputTokensParams, b'{"input": "hi", "temperature": 1}')
