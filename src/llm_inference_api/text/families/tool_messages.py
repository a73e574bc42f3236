"""Rewrites tools and tool messages as plain text, for models whose template has no tools."""

import json
from collections.abc import Sequence
from dataclasses import replace

from llm_inference_api.requests.chat import Message
from llm_inference_api.requests.tools import Tool
from llm_inference_api.text.families.tool_format import TOOL_CALL, TOOL_CALL_END, instruction


def explained(messages: Sequence[Message], tools: Sequence[Tool], *, has_system: bool) -> list[Message]:
    """Returns messages without tool roles and tool calls, and with an instruction that describes the tools.

    Args:
        messages: The chat.
        tools: The request's tools; if empty, there is no instruction.
        has_system: Whether the template accepts a system message. If not, the instruction is added to the first
            message.
    """
    plain = [_plain(message) for message in messages]
    if not tools:
        return plain
    text = instruction(tools)
    if plain[0].role == "system" or not has_system:
        return [replace(plain[0], content="\n\n".join(filter(None, [plain[0].content, text]))), *plain[1:]]
    return [Message("system", text), *plain]


def _plain(message: Message) -> Message:
    if message.role == "tool":
        return Message("user", f"<tool_response>\n{message.content}\n</tool_response>")
    calls = [
        f"{TOOL_CALL}\n{json.dumps({'name': call.name, 'arguments': json.loads(call.arguments)}, ensure_ascii=False)}\n"
        f"{TOOL_CALL_END}"
        for call in message.tool_calls
    ]
    return Message(message.role, "\n".join(filter(None, [message.content, *calls])), name=message.name)
