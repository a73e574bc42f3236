"""Items as messages of a chat."""

from typing import Any

import pytest

from llm_inference_api.api.openai.responses.conversation import Placed, PlacedMessage, messages_of
from llm_inference_api.api.openai.responses.items import ReferenceItem, read_item
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.chat import Message
from llm_inference_api.requests.tools import ToolCall

USER = {"role": "user", "content": "q"}
SAID = {"role": "assistant", "content": "a"}
THOUGHT = {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "t"}]}


def call(name: str) -> dict[str, Any]:
    return {"type": "function_call", "call_id": name, "name": "f", "arguments": "{}"}


def output(name: str) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": name, "output": "o"}


def placed(*values: dict[str, Any]) -> list[PlacedMessage]:
    items = []
    for index, value in enumerate(values):
        item = read_item(value, ("input", index))
        assert not isinstance(item, ReferenceItem)
        items.append(Placed(f"input[{index}]", item))
    return list(messages_of(items))


def messages(*values: dict[str, Any]) -> list[Message]:
    return [message for _, message in placed(*values)]


def test_developer_is_the_system() -> None:
    assert messages({"role": "developer", "content": "d"}, USER) == [Message("system", "d"), Message("user", "q")]


def test_thoughts_belong_to_the_message_after_them() -> None:
    assert messages(USER, THOUGHT, SAID)[1:] == [Message("assistant", "a", reasoning="t")]


def test_thoughts_text_and_calls_are_one_turn() -> None:
    calls = (ToolCall("1", "f", "{}"), ToolCall("2", "f", "{}"))
    assert messages(USER, THOUGHT, SAID, call("1"), call("2"), output("1"), output("2")) == [
        Message("user", "q"),
        Message("assistant", "a", calls, reasoning="t"),
        Message("tool", "o", tool_call_id="1"),
        Message("tool", "o", tool_call_id="2"),
    ]


def test_second_text_is_a_turn_of_its_own() -> None:
    assert messages(USER, SAID, SAID)[1:] == [Message("assistant", "a"), Message("assistant", "a")]


def test_thoughts_after_a_call_begin_a_turn() -> None:
    found = messages(USER, call("1"), output("1"), THOUGHT, call("2"), output("2"))
    assert [message.reasoning for message in found if message.role == "assistant"] == ["", "t"]


def test_cut_arguments_are_completed() -> None:
    cut = {**call("1"), "arguments": '{"city": "Ro'}
    (found,) = (message for message in messages(USER, cut, output("1")) if message.tool_calls)
    assert found.tool_calls[0].arguments == '{"city": "Ro"}'


def test_message_is_placed_at_its_first_item() -> None:
    assert [place for place, _ in placed(USER, THOUGHT, SAID, USER)] == ["input[0]", "input[1]", "input[3]"]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ((USER, {**call("1"), "arguments": "[1]"}), "input[1].arguments"),
        ((USER, output("1")), "input[1].call_id"),
        ((USER, output("1"), call("1")), "input[1].call_id"),
    ],
)
def test_invalid_calls_are_refused(values: tuple[dict[str, Any], ...], field: str) -> None:
    with pytest.raises(InvalidFieldError) as found:
        messages(*values)
    assert found.value.field == field
