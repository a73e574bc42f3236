"""Messages and tools of Ollama's chats as those of a request.

Ollama's calls need no ids: a tool's message belongs to the first call of its tool, or the first of all, that has no
result yet. Calls without an id get one here.
"""

import json
from collections.abc import Sequence

from llm_inference_api.api.ollama.params import MessageParam, ToolCallParam, ToolParam
from llm_inference_api.requests.chat import Message
from llm_inference_api.requests.tools import NO_ARGUMENTS, Tool, ToolCall


def messages_of(params: Sequence[MessageParam]) -> list[Message]:
    """Returns the messages."""
    numbered = _Numbered()
    return [_message(param, numbered) for param in params]


def tools_of(params: Sequence[ToolParam]) -> list[Tool]:
    """Returns the tools."""
    return [_tool(index, param) for index, param in enumerate(params)]


class _Numbered:
    """The calls of a chat so far, with their ids."""

    def __init__(self) -> None:
        self._count = 0
        self._open: list[ToolCall] = []
        """Those without a result."""

    def called(self, param: ToolCallParam) -> ToolCall:
        """Returns a call of the assistant."""
        function = param.function
        call = ToolCall(param.id or self._new_id(), function.name, json.dumps(function.arguments, ensure_ascii=False))
        self._open.append(call)
        return call

    def answered(self, param: MessageParam) -> str:
        """Returns the id of the call of which a message has the result."""
        if param.tool_call_id:
            self._open = [call for call in self._open if call.id != param.tool_call_id]
            return param.tool_call_id
        own = [call for call in self._open if param.tool_name in (None, "", call.name)]
        if not own:
            return self._new_id()
        self._open.remove(own[0])
        return own[0].id

    def _new_id(self) -> str:
        self._count += 1
        return f"call_{self._count}"


def _message(param: MessageParam, numbered: _Numbered) -> Message:
    calls = tuple(numbered.called(call) for call in param.tool_calls or ())
    is_result = param.role == "tool"
    return Message(
        param.role,
        param.content or "",
        calls,
        numbered.answered(param) if is_result else param.tool_call_id or None,
        (param.tool_name or None) if is_result else None,
        param.thinking or "",
    )


def _tool(index: int, param: ToolParam) -> Tool:
    function = param.function
    parameters = NO_ARGUMENTS if function.parameters is None else json.dumps(function.parameters, ensure_ascii=False)
    field = f"tools[{index}].function.parameters"
    return Tool(function.name, function.description or "", parameters, strict=bool(function.strict), field=field)
