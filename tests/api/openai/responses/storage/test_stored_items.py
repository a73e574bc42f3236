"""Items as they are stored."""

from typing import Any

import pytest
from openai.types.responses import ResponseItem
from pydantic import TypeAdapter

from llm_inference_api.api.openai.responses.items import ReferenceItem, read_item
from llm_inference_api.api.openai.responses.storage.stored_items import stored_input, stored_output

ITEM: TypeAdapter[Any] = TypeAdapter(ResponseItem)
JUNK = {"status": "x" * 99, "caller": {"type": "direct"}}


def stored(value: dict[str, Any]) -> dict[str, Any]:
    item = read_item(value, ("input", 0))
    assert not isinstance(item, ReferenceItem)
    return stored_input(value, item)


@pytest.mark.parametrize(
    ("role", "part"),
    [
        ("user", {"type": "input_text", "text": "hi"}),
        ("assistant", {"type": "output_text", "text": "hi", "annotations": []}),
    ],
)
def test_text_of_a_message_is_its_only_part(role: str, part: dict[str, Any]) -> None:
    found = stored({"role": role, "content": "hi"})
    assert found.pop("id").startswith("msg_")
    assert found == {"type": "message", "status": "completed", "role": role, "content": [part]}


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ({"type": "function_call", "call_id": "c", "name": "f", "namespace": "n", "arguments": "{}", **JUNK}, {}),
        ({"type": "function_call_output", "call_id": "c", "output": "o", **JUNK}, {}),
        (
            {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "o"}]},
            {},
        ),
        ({"type": "reasoning", "content": [{"type": "reasoning_text", "text": "t"}]}, {"summary": []}),
        ({"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}, {}),
        (
            {
                "type": "message",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "a", "annotations": [1], "logprobs": [1], "parsed": {}}],
            },
            {"content": [{"type": "output_text", "text": "a", "annotations": []}]},
        ),
    ],
)
def test_what_is_ignored_is_not_kept(value: dict[str, Any], kept: dict[str, Any]) -> None:
    """The item is one of OpenAI's client."""
    found = stored({**value, "id": "x_1"})
    ITEM.validate_python(found)
    plain = {name: inner for name, inner in value.items() if name not in JUNK}
    assert found == {**plain, "id": "x_1", "status": "completed", **kept}
    assert stored(found) == found


def test_ignored_field_may_have_any_value() -> None:
    """The fields of a call are ignored in its output."""
    found = stored({"type": "function_call_output", "call_id": "c", "output": "o", "name": {}, "namespace": [None]})
    assert found.keys() == {"type", "id", "status", "call_id", "output"}


def test_output_is_kept_without_its_log_probabilities() -> None:
    part = {"type": "output_text", "text": "a", "annotations": []}
    item = {"type": "message", "id": "msg_1", "content": [{**part, "logprobs": [{"token": "a"}]}]}
    assert stored_output(item) == {**item, "content": [part]}
    call = {"type": "function_call", "id": "fc_1"}
    assert stored_output(call) == call
