"""Writes calls of tools as text, in a form, where a chat template does not."""

import json
from collections.abc import Mapping, Sequence

from llm_inference_api.requests.tools import ToolCall
from llm_inference_api.text.families.form import Calls, Pairs, Slot, Values

_KINDS: Mapping[type, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    list: "array",
    dict: "object",
    type(None): "null",
}


def written(calls: Calls, made: Sequence[ToolCall]) -> str:
    """Returns the text of one answer's calls."""
    each = [_call(calls, call, index) for index, call in enumerate(made)]
    if calls.repeats_section:
        return calls.separator.join(f"{calls.opening}{text}{calls.closing}" for text in each)
    return f"{calls.opening}{calls.separator.join(each)}{calls.closing}" if each else ""


def _call(calls: Calls, call: ToolCall, index: int) -> str:
    arguments = json.loads(call.arguments)
    words = {
        Slot.NAME: call.name,
        Slot.ID: call.id,
        Slot.INDEX: str(calls.first_index + index),
        Slot.ARGUMENTS: _pairs(calls.arguments, arguments) if calls.arguments else _json(arguments),
    }
    return "".join(part if isinstance(part, str) else words[part] for part in calls.call)


def _pairs(pairs: Pairs, arguments: Mapping[str, object]) -> str:
    kinds = dict(pairs.kinds)
    each = []
    for key, value in arguments.items():
        words = {Slot.KEY: key, Slot.VALUE: _value(pairs, value), Slot.KIND: kinds.get(_KINDS[type(value)], "")}
        each.append("".join(part if isinstance(part, str) else words[part] for part in pairs.pair))
    return pairs.opening + pairs.separator.join(each) + pairs.closing


def _value(pairs: Pairs, value: object) -> str:
    match pairs.values:
        case Values.TEXT:
            return value if isinstance(value, str) else _json(value)
        case Values.JSON:
            return _json(value)
        case Values.PYTHON:
            return _json(value) if isinstance(value, str) else repr(value)
        case Values.BARE:
            return _bare(value, pairs.quote)


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
