"""Formats in which model families write tool calls.

| format | an answer with two calls | used by |
|---|---|---|
| hermes | `<tool_call>{"name": "f", "arguments": {}}</tool_call>` for each, on lines | Hermes, Qwen |
| llama | `{"name": "f", "parameters": {}}; {…}`, perhaps after `<|python_tag|>` | Llama 3.1 and later |
| mistral | `[TOOL_CALLS][{"name": "f", "arguments": {}}, {…}]` | Mistral |
| mistral_args | `[TOOL_CALLS]f[ARGS]{}` for each | Mistral since 2025 |
| generic | as hermes, with the service's own instruction in the system message | all others |
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from enum import Enum

from llm_inference_api.requests.tools import Tool

TOOL_CALL, TOOL_CALL_END = "<tool_call>", "</tool_call>"
TOOL_CALLS, ARGS = "[TOOL_CALLS]", "[ARGS]"
PYTHON_TAG = "<|python_tag|>"
THINK, THINK_END = "<think>", "</think>"
MARKERS = frozenset({TOOL_CALL, TOOL_CALL_END, TOOL_CALLS, ARGS, PYTHON_TAG, THINK, THINK_END})
"""Markers that readers parse. They are kept in an answer's text even if they are control tokens."""


class ToolFormat(Enum):
    """Syntax of tool calls; see the module's table."""

    HERMES = "hermes"
    LLAMA = "llama"
    MISTRAL = "mistral"
    MISTRAL_ARGS = "mistral_args"
    GENERIC = "generic"


_OTHER_FORMS = ("<function=", "<parameter", "<arg_key>", "<invoke", "<tool_calls>", "<tool_sep>")
"""Markers of unsupported formats in templates: not JSON, or with another structure."""


def format_of(template: str | None) -> ToolFormat:
    """Returns the tool format of a chat template, detected by the markers in its source."""
    if template is None or "tools" not in template or any(text in template for text in _OTHER_FORMS):
        return ToolFormat.GENERIC
    if TOOL_CALLS in template:
        return ToolFormat.MISTRAL_ARGS if ARGS in template else ToolFormat.MISTRAL
    if TOOL_CALL in template:
        return ToolFormat.HERMES
    return ToolFormat.LLAMA if "ipython" in template or PYTHON_TAG in template else ToolFormat.GENERIC


def instruction(tools: Sequence[Tool]) -> str:
    """Returns the instruction that describes the tools, for a model whose template has no tools."""
    known = "\n".join(json.dumps(as_json(tool), ensure_ascii=False) for tool in tools)
    return (
        "You may call functions. They are described here, one on each line:\n"
        f"{known}\n"
        "To call one, answer with nothing but this, with the function's name and a JSON object of its arguments; "
        "repeat it to call several:\n"
        f'{TOOL_CALL}\n{{"name": "...", "arguments": {{...}}}}\n{TOOL_CALL_END}\n'
        "You will then be told the results between <tool_response> and </tool_response>. "
        "Where no function helps, answer in words."
    )


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
