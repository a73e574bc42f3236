"""Items as they are stored and listed: with their type, an id and a status, and without what is ignored."""

from typing import Any

from llm_inference_api.api.bodies import Json
from llm_inference_api.api.openai.responses.document import COMPLETED
from llm_inference_api.api.openai.responses.ids import item_id
from llm_inference_api.api.openai.responses.items import Item, MessageItem, ReasoningItem

_KEPT = ("role", "content", "phase", "summary", "call_id", "namespace", "name", "arguments", "output")
_KEPT_OF_PART = ("type", "text", "refusal")


def stored_input(value: Json, item: Item) -> Json:
    """Returns an item of a request's input; a text of a message is its only part.

    Args:
        value: The JSON object, which is valid.
        item: What was read of it.
    """
    found: Json = {
        "id": item.id or item_id(item.type),
        "type": item.type,
        "status": COMPLETED,
        **{name: _without_ignored(value[name]) for name in _read(item) if value.get(name) is not None},
    }
    if isinstance(item, MessageItem) and isinstance(value["content"], str):
        found["content"] = [{"type": "output_text" if item.role == "assistant" else "input_text", "text": item.content}]
    if isinstance(item, MessageItem):
        found["content"] = [_with_annotations(part) for part in found["content"]]
    if isinstance(item, ReasoningItem):
        found.setdefault("summary", [])
    return found


def stored_output(item: Json) -> Json:
    """Returns an item of a response's output, without the log probabilities, which the response itself has."""
    return {**item, **({"content": [*map(_without_logprobs, item["content"])]} if "content" in item else {})}


def _read(item: Item) -> list[str]:
    """Returns the names of an item's fields that mean something; those that are ignored may have any value."""
    fields = type(item).model_fields
    return [name for name in _KEPT if name in fields and fields[name].annotation is not Any]


def _without_ignored(value: object) -> object:
    if not isinstance(value, list):
        return value
    return [{name: part[name] for name in _KEPT_OF_PART if name in part} for part in value]


def _with_annotations(part: Json) -> Json:
    return {**part, "annotations": []} if part["type"] == "output_text" else part


def _without_logprobs(part: Json) -> Json:
    return {name: value for name, value in part.items() if name != "logprobs"}
