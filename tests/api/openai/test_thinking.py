import json
from typing import Any

import pytest

from llm_inference_api.api.openai.params import ChatCompletionParams, CompletionParams, parse
from llm_inference_api.api.openai.thinking import thinking_of
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.thinking import Thinking


def read(**fields: Any) -> Thinking:
    body = {"messages": [{"role": "user", "content": "hi"}], **fields}
    return thinking_of(parse(ChatCompletionParams, json.dumps(body).encode()))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {}),
        ({"reasoning_effort": "high"}, {"effort": "high"}),
        ({"reasoning_effort": "none"}, {"enabled": False}),
        ({"reasoning": {"effort": "low"}}, {"effort": "low"}),
        ({"reasoning": {"enabled": True}}, {"enabled": True}),
        ({"reasoning": {"max_tokens": 9}}, {"budget": 9}),
        ({"reasoning": {"effort": "low", "summary": "auto"}}, {"effort": "low"}),
        ({"reasoning": {"exclude": True}}, {"is_shown": False}),
        ({"include_reasoning": False}, {"is_shown": False}),
        ({"include_reasoning": True}, {}),
        ({"separate_reasoning": True}, {}),
        ({"enable_thinking": False}, {"enabled": False}),
        ({"thinking": True}, {"enabled": True}),
        ({"thinking": {"type": "enabled", "budget_tokens": 9}}, {"enabled": True, "budget": 9}),
        ({"thinking": {"type": "disabled"}}, {"enabled": False}),
        ({"thinking_budget": 9}, {"budget": 9}),
        ({"thinking_token_budget": 0}, {"budget": 0}),
        ({"thinking_budget_tokens": 9}, {"budget": 9}),
        ({"reasoning_budget_tokens": -1}, {}),
        ({"chat_template_kwargs": {"a": [1, None]}}, {"variables": {"a": [1, None]}}),
        ({"enable_thinking": True, "thinking": True, "reasoning_effort": "low"}, {"enabled": True, "effort": "low"}),
        (dict.fromkeys(["reasoning_effort", "reasoning", "thinking", "chat_template_kwargs", "thinking_budget"]), {}),
    ],
    ids=json.dumps,
)
def test_each_servers_name_means_the_same(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    """The names of OpenAI, vLLM, Qwen, SGLang, OpenRouter, llama.cpp, DeepSeek and Z.ai."""
    assert read(**fields) == Thinking(**expected)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"reasoning_effort": 3}, "reasoning_effort"),
        ({"reasoning_effort": "low", "reasoning": {"effort": "high"}}, "reasoning.effort"),
        ({"enable_thinking": True, "thinking": False}, "enable_thinking"),
        ({"enable_thinking": True, "reasoning_effort": "none"}, "reasoning_effort"),
        ({"enable_thinking": "yes"}, "enable_thinking"),
        ({"thinking_budget": 1, "reasoning": {"max_tokens": 2}}, "reasoning.max_tokens"),
        ({"thinking_token_budget": -2}, "thinking_token_budget"),
        ({"reasoning": {"max_tokens": 2**32}}, "reasoning.max_tokens"),
        ({"enable_thinking": True, "reasoning": {"max_tokens": 0}}, "reasoning.max_tokens"),
        ({"reasoning": {"colour": "red"}}, "reasoning.colour"),
        ({"thinking": {"type": "adaptive"}}, "thinking.type"),
        ({"include_reasoning": True, "reasoning": {"exclude": True}}, "reasoning.exclude"),
        ({"separate_reasoning": False}, "separate_reasoning"),
        ({"reasoning_budget_message": "Enough."}, "reasoning_budget_message"),
        ({"chat_template_kwargs": "x"}, "chat_template_kwargs"),
        ({"chat_template_kwargs": {"tools": []}}, "chat_template_kwargs.tools"),
    ],
    ids=json.dumps,
)
def test_errors_name_the_field_as_it_was_sent(fields: dict[str, Any], field: str) -> None:
    """Two names of one thing must agree, and each value must be one of its kind."""
    with pytest.raises(InvalidFieldError) as caught:
        read(**fields)
    assert caught.value.field == field


def test_a_completion_has_no_thinking() -> None:
    """A raw prompt has no template to tell; null is as if left out."""
    assert parse(CompletionParams, b'{"prompt": "x", "reasoning_effort": null}')
    with pytest.raises(InvalidFieldError, match="reasoning_effort: is for chats"):
        parse(CompletionParams, b'{"prompt": "x", "reasoning_effort": "low"}')
