"""Rewrites tools and tool messages as plain text, for models whose template has no tools."""

import json
from collections.abc import Sequence
from dataclasses import replace

from llm_inference_api.requests.chat import Message
from llm_inference_api.requests.tools import Tool
from llm_inference_api.text.families.tool_format import TOOL_CALL, TOOL_CALL_END, instruction


def explained(messages: Sequence[Message], tools: Sequence[Tool]) -> list[Message]:
    """Returns messages without tool roles and tool calls.

    A system message at the start has an instruction that describes the tools; none, if there are no tools.
    """
    plain = [in_words(message) for message in messages]
    if not tools:
        return plain
    text = instruction(tools)
    if plain[0].role == "system":
        return [replace(plain[0], content="\n\n".join(filter(None, [plain[0].content, text]))), *plain[1:]]
    return [Message("system", text), *plain]


def in_words(message: Message) -> Message:
    """Returns the message with its tool calls, or the result of one, as text."""
    if message.role == "tool":
        return Message("user", f"<tool_response>\n{message.content}\n</tool_response>")
    calls = [
        f"{TOOL_CALL}\n{json.dumps({'name': call.name, 'arguments': json.loads(call.arguments)}, ensure_ascii=False)}\n"
        f"{TOOL_CALL_END}"
        for call in message.tool_calls
    ]
    return replace(message, content="\n".join(filter(None, [message.content, *calls])), tool_calls=())
