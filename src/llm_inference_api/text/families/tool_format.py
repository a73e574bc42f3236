"""How models write the calls of tools in their text: each family in its own way.

| format | an answer with two calls | where it is from |
|---|---|---|
| hermes | `<tool_call>{"name": "f", "arguments": {}}</tool_call>` for each, on lines | Hermes, Qwen |
| llama | `{"name": "f", "parameters": {}}; {…}`, perhaps after `<|python_tag|>` | Llama 3.1 and later |
| mistral | `[TOOL_CALLS][{"name": "f", "arguments": {}}, {…}]` | Mistral |
| mistral_args | `[TOOL_CALLS]f[ARGS]{}` for each | Mistral since 2025 |
| generic | as hermes, after an instruction of ours in the system's message | all others |
"""

import json
from collections.abc import Sequence
from enum import Enum

from llm_inference_api.requests.tools import Tool

TOOL_CALL, TOOL_CALL_END = "<tool_call>", "</tool_call>"
TOOL_CALLS, ARGS = "[TOOL_CALLS]", "[ARGS]"
PYTHON_TAG = "<|python_tag|>"
THINK, THINK_END = "<think>", "</think>"
MARKERS = frozenset({TOOL_CALL, TOOL_CALL_END, TOOL_CALLS, ARGS, PYTHON_TAG, THINK, THINK_END})
"""Texts that structure an answer. Where they are control tokens, they are part of the text nevertheless."""


class ToolFormat(Enum):
    """A family's way."""

    HERMES = "hermes"
    LLAMA = "llama"
    MISTRAL = "mistral"
    MISTRAL_ARGS = "mistral_args"
    GENERIC = "generic"


_OTHER_FORMS = ("<function=", "<parameter", "<arg_key>", "<invoke", "<tool_calls>", "<tool_sep>")
"""What templates spell out that teach a form that is not JSON, or is put together otherwise."""


def format_of(template: str | None) -> ToolFormat:
    """Returns the format that a model's template teaches, by what the template spells out."""
    if template is None or "tools" not in template or any(text in template for text in _OTHER_FORMS):
        return ToolFormat.GENERIC
    if TOOL_CALLS in template:
        return ToolFormat.MISTRAL_ARGS if ARGS in template else ToolFormat.MISTRAL
    if TOOL_CALL in template:
        return ToolFormat.HERMES
    return ToolFormat.LLAMA if "ipython" in template or PYTHON_TAG in template else ToolFormat.GENERIC


def instruction(tools: Sequence[Tool]) -> str:
    """Returns what tells a model of tools whose template cannot."""
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
    """Returns the tool as templates and OpenAI write it."""
    function = {"name": tool.name, "description": tool.description, "parameters": json.loads(tool.parameters)}
    return {"type": "function", "function": function}
