"""Writes calls of tools as text, in a form, where a chat template does not."""

import json
from collections.abc import Mapping, Sequence

from llm_inference_api.requests.tools import ToolCall
from llm_inference_api.text.families.form import CallForm, Pairs, Slot, Values

_KINDS: Mapping[type, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    list: "array",
    dict: "object",
    type(None): "null",
}


def written(calls: CallForm, made: Sequence[ToolCall]) -> str:
    """Returns the text of one answer's calls."""
    each = [_call(calls, call, index) for index, call in enumerate(made)]
    return f"{calls.opening}{calls.separator.join(each)}{calls.closing}" if each else ""


def _call(calls: CallForm, call: ToolCall, index: int) -> str:
    arguments = json.loads(call.arguments)
    words = {
        Slot.NAME: call.name,
        Slot.ID: call.id,
        Slot.INDEX: str(calls.first_index + index),
        Slot.ARGUMENTS: written_pairs(calls.arguments, arguments) if calls.arguments else _json(arguments),
    }
    return "".join(part if isinstance(part, str) else words[part] for part in calls.call)


def written_pairs(pairs: Pairs, arguments: Mapping[str, object]) -> str:
    """Returns the text of a call's arguments that are no JSON object."""
    return pairs.opening + pairs.separator.join(_pair(pairs, *each) for each in arguments.items()) + pairs.closing


def _pair(pairs: Pairs, key: str, value: object) -> str:
    kind = dict(pairs.kinds).get(_KINDS[type(value)], "")
    words = {Slot.KEY: key, Slot.VALUE: _value(pairs, value), Slot.KIND: kind}
    return "".join(part if isinstance(part, str) else words[part] for part in pairs.pair)


def _value(pairs: Pairs, value: object) -> str:
    if pairs.item and isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else ((pairs.item, each) for each in value)
        return "".join(_pair(pairs, *each) for each in inner)
    match pairs.values:
        case Values.TEXT:
            return _text(pairs, value) if isinstance(value, str) else _json(value)
        case Values.JSON:
            return _json(value)
        case Values.PYTHON:
            return _json(value) if isinstance(value, str) and pairs.quote != "'" else repr(value)
        case Values.BARE:
            return _bare(value, pairs.quote)


def _text(pairs: Pairs, text: str) -> str:
    """Returns the text, between the marks for that if it holds one of those around values."""
    opening, closing = pairs.verbatim
    marks = [opening, *(part.strip() for part in pairs.pair if isinstance(part, str))]
    return f"{opening}{text}{closing}" if opening and any(mark in text for mark in marks if mark) else text


def _bare(value: object, quote: str) -> str:
    if isinstance(value, str):
        return f"{quote}{value}{quote}"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_bare(inner, quote)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_bare(inner, quote) for inner in value) + "]"
    return _json(value)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
