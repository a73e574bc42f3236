"""Definitions of tools, as chat templates expect them."""

import json
from dataclasses import replace

from llm_inference_api.requests.tools import Tool


def as_json(tool: Tool) -> dict[str, object]:
    """Returns the tool in OpenAI's format, which templates expect."""
    function = {"name": tool.name, "description": tool.description, "parameters": json.loads(tool.parameters)}
    return {"type": "function", "function": function}


def simplified(tool: Tool) -> Tool:
    """Returns the tool without `null` in its parameters' lists of types, and with a description of each parameter.

    Some templates write types by a macro that calls itself without end for `null`; others fail without a description.
    """
    given = json.loads(tool.parameters)
    found = _simplified(given)
    return tool if found == given else replace(tool, parameters=json.dumps(found, ensure_ascii=False))


def _simplified(value: object) -> object:
    if isinstance(value, list):
        return [_simplified(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {key: _simplified(inner) for key, inner in value.items()}
    kinds, properties = value.get("type"), found.get("properties")
    others = [kind for kind in kinds if kind != "null"] if isinstance(kinds, list) else []
    if others:
        found["type"] = others[0] if len(others) == 1 else others
    if isinstance(properties, dict):
        found["properties"] = {
            name: {"description": "", **inner} if isinstance(inner, dict) else inner
            for name, inner in properties.items()
        }
    return found
