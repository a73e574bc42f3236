"""Requests of Anthropic's clients, as what is asked of a model."""

import json
from typing import Any

import pytest

from llm_inference_api.api.anthropic.params import CountParams, MessagesParams, parse
from llm_inference_api.api.anthropic.reading import read_messages
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.chat import Ending, Message
from llm_inference_api.requests.limits import Limits
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.requests.tools import ToolCall, ToolMode

LIMITS = Limits(temperature=0.7, top_p=0.9, max_tokens=4096, answers=10)
SAID = [{"role": "user", "content": "hi"}]
TOOL = {"name": "f", "description": "d", "input_schema": {"type": "object", "properties": {"a": {"type": "string"}}}}
USE = {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": "ä"}}


def asked(**fields: Any) -> GenerationRequest:
    body = {"max_tokens": 5, "messages": SAID, **fields}
    return read_messages(parse(MessagesParams, json.dumps(body).encode()), LIMITS)


def messages(*said: Any, **fields: Any) -> tuple[Message, ...]:
    prompt = asked(messages=said, **fields).prompt
    assert isinstance(prompt, tuple)
    return prompt


def test_texts_are_joined_and_the_system_prompt_comes_first() -> None:
    """As a text, or as blocks with hints for a cache."""
    hinted = {"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}}
    blocks = [{"type": "text", "text": "a"}, hinted]
    assert messages({"role": "user", "content": blocks}, system=blocks) == (
        Message("system", "a\nb"),
        Message("user", "a\nb"),
    )
    assert messages({"role": "user", "content": "a"}, system="s")[0] == Message("system", "s")


def test_results_of_tools_are_messages_of_their_own() -> None:
    """In their order, before what the user says; one that failed says so."""
    results = [
        {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "20 C"}]},
        {"type": "tool_result", "tool_use_id": "t2", "content": "no such city", "is_error": True},
        {"type": "tool_result", "tool_use_id": "t3"},
        {"type": "text", "text": "go on"},
    ]
    thought = {"type": "thinking", "thinking": "hm", "signature": "x"}
    said = messages(
        *SAID,
        {"role": "assistant", "content": [thought, {"type": "text", "text": "I look."}, USE]},
        {"role": "user", "content": results},
        tools=[TOOL],
    )
    assert said[1:] == (
        Message("assistant", "I look.", (ToolCall("t1", "f", '{"a": "ä"}'),), reasoning="hm"),
        Message("tool", "20 C", tool_call_id="t1"),
        Message("tool", "Error: no such city", tool_call_id="t2"),
        Message("tool", "", tool_call_id="t3"),
        Message("user", "go on"),
    )


def test_begun_answer_goes_on() -> None:
    """A last message of the assistant is its beginning."""
    assert asked().ending is Ending.ANSWER
    assert asked(messages=[*SAID, {"role": "assistant", "content": "I"}]).ending is Ending.CONTINUE


@pytest.mark.parametrize(
    ("choice", "mode", "function", "parallel"),
    [
        (None, ToolMode.AUTO, None, True),
        ({"type": "auto", "disable_parallel_tool_use": True}, ToolMode.AUTO, None, False),
        ({"type": "any"}, ToolMode.REQUIRED, None, True),
        ({"type": "tool", "name": "f"}, ToolMode.REQUIRED, "f", True),
    ],
)
def test_choice_of_tools(choice: object, mode: ToolMode, function: str | None, *, parallel: bool) -> None:
    """`any` is what others call required."""
    use = asked(tools=[TOOL], tool_choice=choice).tools
    assert use is not None
    assert (use.mode, use.function, use.parallel) == (mode, function, parallel)
    assert json.loads(use.tools[0].parameters) == TOOL["input_schema"]


def test_no_tool_is_called_where_the_choice_is_none() -> None:
    """They are left out."""
    assert asked(tools=[TOOL], tool_choice={"type": "none"}).tools is None


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, (None, None, None, True)),
        ({"thinking": {"type": "disabled"}}, (False, None, None, True)),
        ({"thinking": {"type": "adaptive"}}, (None, None, None, True)),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, (True, None, 2000, True)),
        ({"thinking": {"type": "adaptive", "display": "omitted"}}, (None, None, None, False)),
        ({"output_config": {"effort": "high"}}, (None, "high", None, True)),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "high"}}, (False, None, None, True)),
    ],
)
def test_thinking(fields: dict[str, Any], expected: tuple[object, ...]) -> None:
    """Without a word the model's template decides, and so it does where it may."""
    thinking = asked(**fields).thinking
    assert (thinking.enabled, thinking.effort, thinking.budget, thinking.is_shown) == expected


@pytest.mark.parametrize("name", ["output_config", "output_format"])
def test_schema_restricts_the_text(name: str) -> None:
    """By either name."""
    wanted = {"type": "json_schema", "schema": {"type": "object"}}
    found = asked(**{name: {"format": wanted} if name == "output_config" else wanted}).constraint
    assert found is not None
    assert json.loads(found.source) == {"type": "object"}


def test_sampling_and_stopping_are_the_callers() -> None:
    """With the names that both APIs share."""
    found = asked(temperature=0.5, top_k=3, top_p=0.5, seed=4, stop_sequences=["x"], max_tokens=9)
    assert (found.sampling.temperature, found.sampling.top_k, found.sampling.top_p) == (0.5, 3, 0.5)
    assert (found.sampling.seed, found.stopping.stop, found.stopping.max_tokens) == (4, ("x",), 9)


@pytest.mark.parametrize("field", ["metadata", "service_tier", "inference_geo", "speed", "cache_control"])
def test_fields_that_mean_nothing_here_are_accepted(field: str) -> None:
    """What concerns Anthropic's own business is no error."""
    assert asked(**{field: {"a": 1}}).prompt == asked().prompt


def edits(kind: str, **fields: Any) -> dict[str, Any]:
    return {"edits": [{"type": kind, **fields}]}


@pytest.mark.parametrize("keep", ["all", {"type": "all"}])
def test_edit_that_keeps_all_thoughts_changes_nothing(keep: object) -> None:
    """Agents send it with each request."""
    assert asked(context_management=edits("clear_thinking_20251015", keep=keep)).prompt == asked().prompt
    assert asked(context_management={}).prompt == asked().prompt


def test_effort_that_anthropic_takes_for_granted_is_told_from_others() -> None:
    """A template that knows no efforts is no reason to refuse it."""
    efforts = [asked(output_config={"effort": effort}).thinking.effort_is_default for effort in ("high", "low")]
    assert efforts == [True, False]


IMAGE = {"type": "image", "source": {}}
RESULT = {"type": "tool_result", "tool_use_id": "t", "content": "x"}


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"messages": [{"role": "user", "content": [IMAGE]}]}, "messages[0].content[0]", "'image'"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role", ""),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text", "missing"),
        ({"messages": [{"role": "user", "content": [USE]}]}, "messages[0].content[0]", "tool_use"),
        ({"messages": [{"role": "assistant", "content": [RESULT]}]}, "messages[0].content[0]", "tool_result"),
        (
            {
                "messages": [],
            },
            "messages",
            "1 to",
        ),
        (
            {"messages": [*SAID, {"role": "user", "content": [{**RESULT, "tool_use_id": ""}]}]},
            "messages[1].content",
            "",
        ),
        ({"max_tokens": 0}, "max_tokens", "at least 1"),
        ({"max_tokens": None}, "max_tokens", ""),
        ({"temperature": 3}, "temperature", ""),
        ({"stop_sequences": [""]}, "stop_sequences[0]", ""),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools[0].type", "custom"),
        ({"tools": [{**TOOL, "defer_loading": 0}]}, "tools[0].defer_loading", "must be false"),
        ({"tools": [{**TOOL, "input_schema": "x"}]}, "tools[0].input_schema", ""),
        ({"tools": [{**TOOL, "name": "a b"}]}, "tools[0].name", ""),
        ({"tool_choice": {"type": "any"}}, "tool_choice", "needs tools"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool"}}, "tool_choice.name", "required"),
        ({"tools": [TOOL], "tool_choice": {"type": "auto", "name": "f"}}, "tool_choice.name", "no other"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens", "required"),
        ({"thinking": {"type": "adaptive", "budget_tokens": 5}}, "thinking.budget_tokens", "no other"),
        ({"thinking": {"type": "enabled", "budget_tokens": 0}}, "thinking.budget_tokens", "at least 1"),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "low"}}, "output_config.effort", ""),
        (
            {"context_management": edits("clear_tool_uses_20250919")},
            "context_management.edits[0].type",
            "clear_thinking",
        ),
        ({"context_management": edits("clear_thinking_20251015")}, "context_management.edits[0].keep", "missing"),
        (
            {"context_management": edits("clear_thinking_20251015", keep={"type": "thinking_turns", "value": 1})},
            "context_management.edits[0].keep",
            "'all'",
        ),
        ({"mcp_servers": []}, "mcp_servers", "as tools"),
        ({"max_token": 5}, "max_token", "leave it out"),
    ],
)
def test_invalid_fields_are_named_as_they_were_sent(fields: dict[str, Any], field: str, words: str) -> None:
    """With what would be right."""
    with pytest.raises(InvalidFieldError) as caught:
        asked(**fields)
    assert caught.value.field == field
    assert words in caught.value.problem


def test_tokens_are_counted_without_a_limit_of_the_answer() -> None:
    """Of the same chat."""
    params = parse(CountParams, json.dumps({"messages": SAID, "tools": [TOOL]}).encode())
    assert read_messages(params, LIMITS).prompt == asked().prompt
    with pytest.raises(InvalidFieldError, match="max_tokens"):
        parse(CountParams, json.dumps({"messages": SAID, "max_tokens": 5}).encode())
