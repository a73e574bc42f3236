from dataclasses import replace

import pytest

from llm_inference_api.requests.chat import Message
from llm_inference_api.requests.tools import Tool, ToolCall
from llm_inference_api.text.families.form import GENERIC
from llm_inference_api.text.families.tool_messages import completed, with_written_calls, with_written_result
from tests.text.families.reading.answer_forms import HERMES, LFM2

USER = Message("user", "Hi")
CALLING = Message("assistant", "Well.", (ToolCall("1", "f", '{"a": 1}'),), reasoning="hm")
RESULT = Message("tool", "4", tool_call_id="1")
CHAT = (USER, CALLING, RESULT)
TOOL = Tool("f", "Does it.", "{}")
SILENT = replace(HERMES, shows_calls=False)
"""A template with tools that writes no calls."""


def test_chat_is_the_templates_own_where_it_shows_everything() -> None:
    """Tools, calls and results alike."""
    assert completed(CHAT, [TOOL], HERMES) == [*CHAT]


def test_calls_that_a_template_does_not_write_become_text() -> None:
    """In the model's syntax, behind what was said; results stay results."""
    said = 'Well.\n<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'
    assert completed(CHAT, [TOOL], SILENT) == [USER, Message("assistant", said, reasoning="hm"), RESULT]


def test_results_are_the_users_words_in_the_services_own_form() -> None:
    """Templates without tools have no role for them."""
    *_, result = completed(CHAT, [], GENERIC)
    assert result == Message("user", "<tool_response>\n4\n</tool_response>")


@pytest.mark.parametrize(
    ("chat", "before"),
    [
        ((Message("system", "Be brief."), USER), "Be brief.\n\nYou may call functions."),
        ((Message("system", ""), USER), "You may call functions."),
        ((USER,), "You may call functions."),
    ],
)
def test_tools_that_a_template_does_not_describe_stand_in_the_systems_message(
    chat: tuple[Message, ...], before: str
) -> None:
    """There is one, whether or not the chat has it."""
    first, *rest = completed(chat, [TOOL], GENERIC)
    assert first.role == "system"
    assert first.content.startswith(before)
    assert '"name": "f", "description": "Does it."' in first.content
    assert rest == [USER]


def test_nothing_is_said_of_tools_where_there_are_none() -> None:
    """A chat without them is as it was sent."""
    assert completed((USER,), [], GENERIC) == [USER]


def test_instruction_shows_the_models_own_syntax() -> None:
    """Where the template has calls, but does not describe tools."""
    first, *_ = completed((USER,), [TOOL], replace(LFM2, shows_tools=False))
    assert '\n<|tool_call_start|>[NAME(ARGUMENT="VALUE")]<|tool_call_end|>\n' in first.content


@pytest.mark.parametrize("message", [USER, Message("assistant", "Ho"), Message("system", "x")])
def test_messages_without_calls_and_results_stay(message: Message) -> None:
    """They have nothing to write."""
    assert with_written_calls(message, HERMES.calls) is message
    assert with_written_result(message) is message
