"""The chat template renders roles, tools, calls and results as in the training data."""

from typing import Any

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tools.demo_model.tokenizer import TEMPLATE

TOOL = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object"}}}


def render(messages: list[dict[str, Any]], **values: Any) -> str:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(TEMPLATE).render(messages=messages, **values)


def test_a_chat() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": "Bye"},
    ]
    expected = "<|system|>Be brief.<|end|><|user|>Hi<|end|><|assistant|>Hello!<|end|><|user|>Bye<|end|>"
    assert render(messages) == expected
    assert render(messages, add_generation_prompt=True) == expected + "<|assistant|>"


def test_tools_join_the_system_prompt() -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    listed = 'Tools:\n{"name": "get_time", "parameters": {"type": "object"}}<|end|><|user|>Hi<|end|>'
    assert render(messages, tools=[TOOL]) == "<|system|>Be brief.\n\n" + listed
    assert render(messages[1:], tools=[TOOL]) == "<|system|>" + listed


@pytest.mark.parametrize("arguments", ['{"city": "Rome"}', {"city": "Rome"}])
def test_a_call_and_its_result(arguments: object) -> None:
    call = {"type": "function", "function": {"name": "get_time", "arguments": arguments}}
    messages = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "08:30"},
    ]
    written = '<tool_call>\n{"name": "get_time", "arguments": {"city": "Rome"}}\n</tool_call>'
    assert render(messages) == f"<|assistant|>{written}<|end|><|tool|>08:30<|end|>"
