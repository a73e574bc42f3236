"""Definitions of tools, as chat templates expect them."""

import json
from dataclasses import replace

from llm_inference_api.requests.tools import Tool


def as_json(tool: Tool) -> dict[str, object]:
    """Returns the tool in OpenAI's format, which templates expect."""
    function = {"name": tool.name, "description": tool.description, "parameters": json.loads(tool.parameters)}
    return {"type": "function", "function": function}


def without_null(tool: Tool) -> Tool:
    """Returns the tool without `null` in its parameters' lists of types.

    Some templates write types by a macro that calls itself without end for `null`.
    """
    given = json.loads(tool.parameters)
    found = _without_null(given)
    return tool if found == given else replace(tool, parameters=json.dumps(found, ensure_ascii=False))


def _without_null(value: object) -> object:
    if isinstance(value, list):
        return [_without_null(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {key: _without_null(inner) for key, inner in value.items()}
    kinds = value.get("type")
    others = [kind for kind in kinds if kind != "null"] if isinstance(kinds, list) else []
    return {**found, "type": others[0] if len(others) == 1 else others} if others else found
