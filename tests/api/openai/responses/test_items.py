"""Items of an input, read strictly."""

from typing import Any

import pytest

from llm_inference_api.api.openai.responses.items import (
    CallItem,
    MessageItem,
    ReasoningItem,
    ReferenceItem,
    read_item,
)
from llm_inference_api.errors import InvalidFieldError

CALL = {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"}


def read(value: dict[str, Any]) -> Any:
    return read_item(value, ("input", 2))


def test_item_without_a_type_is_a_message() -> None:
    assert read({"role": "user", "content": "hi"}) == MessageItem(role="user", content="hi")


def test_parts_of_a_message_are_lines_of_one_text() -> None:
    parts = [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]
    assert read({"type": "message", "role": "user", "content": parts}).content == "a\nb"


def test_item_of_a_response_is_read_as_it_was_sent() -> None:
    part = {"type": "output_text", "text": "hi", "annotations": [], "logprobs": []}
    sent = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    assert read(sent).content == "hi"


def test_refusal_of_another_model_is_a_text() -> None:
    parts = [{"type": "refusal", "refusal": "No."}]
    assert read({"type": "message", "role": "assistant", "content": parts}).content == "No."


def test_thoughts_are_the_content() -> None:
    content = [{"type": "reasoning_text", "text": "Hm."}]
    summary = [{"type": "summary_text", "text": "Thinks."}]
    item = read({"type": "reasoning", "id": "rs_1", "summary": summary, "content": content, "encrypted_content": None})
    assert isinstance(item, ReasoningItem)
    assert item.thoughts == "Hm."


def test_thoughts_without_content_are_the_summary() -> None:
    assert read({"type": "reasoning", "summary": [{"type": "summary_text", "text": "Thinks."}]}).thoughts == "Thinks."


def test_calls_and_references_are_read() -> None:
    assert read(CALL) == CallItem(**CALL)
    assert read({"type": "item_reference", "id": "msg_1"}) == ReferenceItem(type="item_reference", id="msg_1")


@pytest.mark.parametrize(
    ("value", "field", "problem"),
    [
        ({"type": "computer_call"}, "input[2].type", "'computer_call' is not supported; it may be message"),
        ({"type": 5}, "input[2].type", "'5' is not supported"),
        ({"role": "king", "content": "x"}, "input[2].role", "'user'"),
        ({"role": "user"}, "input[2].content", "is missing"),
        ({"role": "user", "content": "x", "foo": 1}, "input[2].foo", "is not a parameter"),
        ({"role": "user", "content": [{"type": "input_image"}]}, "input[2].content", "part 0 is of type 'input_image'"),
        ({"role": "user", "content": ["x"]}, "input[2].content", "part 0 is of type None"),
        ({"role": "user", "content": [{"type": "input_text"}]}, "input[2].content", "part 0 has no text"),
        ({"role": "user", "content": [{"type": "input_text", "text": "x", "y": 1}]}, "input[2].content", "has 'y'"),
        ({**CALL, "arguments": {}}, "input[2].arguments", "valid string"),
        ({"type": "reasoning", "encrypted_content": "x"}, "input[2].encrypted_content", "clear text"),
        ({"role": "user", "content": "x", "id": "x" * 257}, "input[2].id", "256"),
        ({"role": "assistant", "content": "x", "phase": "other"}, "input[2].phase", "commentary"),
        ({"type": "reasoning", "summary": [{"type": "x", "text": ""}]}, "input[2].summary[0].type", "reasoning_text"),
    ],
)
def test_invalid_items_are_refused_by_field(value: dict[str, Any], field: str, problem: str) -> None:
    with pytest.raises(InvalidFieldError) as found:
        read(value)
    assert found.value.field == field
    assert problem in found.value.problem
