"""Says in words what a chat has of tools, for models whose template knows none."""

import json
from collections.abc import Sequence
from dataclasses import replace

from llm_inference_api.engine.request import Message
from llm_inference_api.engine.tool_format import TOOL_CALL, TOOL_CALL_END, instruction
from llm_inference_api.engine.tools import Tool


def explained(messages: Sequence[Message], tools: Sequence[Tool]) -> list[Message]:
    """Returns the messages with roles that every template knows, and the tools described in the system's message."""
    plain = [_plain(message) for message in messages]
    if not tools:
        return plain
    text = instruction(tools)
    if plain[0].role == "system":
        return [replace(plain[0], content=f"{plain[0].content}\n\n{text}"), *plain[1:]]
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
