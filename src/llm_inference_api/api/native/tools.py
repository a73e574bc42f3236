"""Tools and their calls: the wire's kinds as the engine's, and back."""

import re
from dataclasses import replace

from llm_inference.v1 import inference_pb2, tools_pb2
from llm_inference_api.api.native.constraints import MAX_BYTES, check_object
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.request import Delta
from llm_inference_api.requests.tools import Tool, ToolCall, ToolMode, ToolUse

MAX_TOOLS = 128
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NO_ARGUMENTS = '{"type": "object", "properties": {}, "additionalProperties": false}'


def tool_use(wire: inference_pb2.ChatRequest) -> ToolUse | None:
    """Returns the tools that the model is told of; None where there are none.

    Raises InvalidFieldError where what is asked of the tools cannot be honoured.
    """
    tools = tuple(_tool(index, tool) for index, tool in enumerate(wire.tools))
    _check(tools, wire)
    choice = wire.tool_choice
    if not tools or choice.mode == tools_pb2.ToolChoice.Mode.NONE:
        return None
    required = bool(choice.function) or choice.mode == tools_pb2.ToolChoice.Mode.REQUIRED
    parallel = wire.parallel_tool_calls if wire.HasField("parallel_tool_calls") else True
    mode = ToolMode.REQUIRED if required else ToolMode.AUTO
    return ToolUse(tools, mode, choice.function or None, parallel=parallel)


def _check(tools: tuple[Tool, ...], wire: inference_pb2.ChatRequest) -> None:
    if len(tools) > MAX_TOOLS:
        raise InvalidFieldError("tools", f"there are {len(tools)}; at most {MAX_TOOLS} are allowed")
    names = [tool.name for tool in tools]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidFieldError("tools", f"{', '.join(twice)} stands there more than once")
    if not tools:
        for field in ("tool_choice", "parallel_tool_calls"):
            if wire.HasField(field):
                raise InvalidFieldError(field, "needs tools")
        return
    choice = wire.tool_choice
    if choice.function and choice.function not in names:
        raise InvalidFieldError("tool_choice", f"{choice.function[:64]!r} is none of the tools")
    if wire.ignore_eos:
        raise InvalidFieldError("ignore_eos", "cannot be combined with tools: an answer ends with its calls")


def _tool(index: int, wire: tools_pb2.Tool) -> Tool:
    field = f"tools[{index}]"
    if not NAME.fullmatch(wire.name):
        problem = f"must be 1 to 64 letters, digits, '_' and '-', not {wire.name[:64]!r}"
        raise InvalidFieldError(f"{field}.name", problem)
    schema = check_object(wire.parameters or _NO_ARGUMENTS, f"{field}.parameters")
    if len(schema.encode()) + len(wire.description.encode()) > MAX_BYTES:
        raise InvalidFieldError(field, f"has more than {MAX_BYTES} bytes")
    return Tool(wire.name, wire.description, schema, strict=wire.strict)


def tool_fields(field: str, wire: inference_pb2.ChatMessage) -> tuple[tuple[ToolCall, ...], str | None]:
    """Returns the calls that a message makes, and the id of the call whose result it is.

    Raises InvalidFieldError where these do not go with the message's role.
    """
    if wire.tool_calls and wire.role != "assistant":
        raise InvalidFieldError(f"{field}.tool_calls", "only the assistant calls tools")
    if bool(wire.tool_call_id) != (wire.role == "tool"):
        raise InvalidFieldError(f"{field}.tool_call_id", "belongs to messages of the role tool, and to each of them")
    calls = tuple(_call(f"{field}.tool_calls[{index}]", call) for index, call in enumerate(wire.tool_calls))
    return calls, wire.tool_call_id or None


def _call(field: str, wire: tools_pb2.ToolCall) -> ToolCall:
    return ToolCall(wire.id, wire.name, check_object(wire.arguments or "{}", f"{field}.arguments"))


def whole_calls(deltas: list[Delta]) -> list[ToolCall]:
    """Returns the calls of an answer, put together."""
    calls: dict[int, ToolCall] = {}
    for delta in deltas:
        if part := delta.tool_call:
            begun = calls.get(delta.tool_index)
            calls[delta.tool_index] = replace(begun, arguments=begun.arguments + part.arguments) if begun else part
    return list(calls.values())


def wire_tool_call(call: ToolCall) -> tools_pb2.ToolCall:
    """Returns the message for a call."""
    return tools_pb2.ToolCall(id=call.id, name=call.name, arguments=call.arguments)


def tool_call_delta(index: int, part: ToolCall) -> tools_pb2.ToolCallDelta:
    """Returns the message for a part of a call in a stream."""
    return tools_pb2.ToolCallDelta(
        index=index, id=part.id or None, name=part.name or None, arguments=part.arguments or None
    )
