"""Conversion between the typed API's messages and domain types."""

from collections.abc import Collection
from typing import Any

from google.protobuf.struct_pb2 import Struct, Value

from llm_inference.v1 import inference_pb2, tools_pb2
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.adapters import Adapter, checked_adapters
from llm_inference_api.requests.chat import (
    Message,
    check_call_counts,
    check_message_count,
    checked_messages,
    ending,
)
from llm_inference_api.requests.constraint import Constraint, read_constraint
from llm_inference_api.requests.limits import Given, Limits, new_id
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.requests.sizes import check_size
from llm_inference_api.requests.thinking import Thinking, checked_thinking
from llm_inference_api.requests.tools import (
    NO_ARGUMENTS,
    Tool,
    ToolCall,
    ToolChoice,
    check_tool_count,
    complete_arguments,
    tool_use,
)

WireRequest = inference_pb2.GenerateRequest | inference_pb2.ChatRequest


def read_generate(wire: inference_pb2.GenerateRequest, limits: Limits) -> GenerationRequest:
    """Returns the request of a Generate message. Raises InvalidFieldError."""
    if not wire.prompt and not wire.suffix:
        raise InvalidFieldError("prompt", "is missing or empty; it is the text to continue")
    check_size("prompt", len(wire.prompt.encode()))
    check_size("suffix", len(wire.suffix.encode()))
    return GenerationRequest(new_id("gen"), wire.prompt, suffix=wire.suffix, **_shared(wire, limits))


def read_chat(wire: inference_pb2.ChatRequest, limits: Limits) -> GenerationRequest:
    """Returns the request of a Chat message. Raises InvalidFieldError."""
    messages = read_messages(wire.messages)
    check_tool_count(len(wire.tools))
    shared = _shared(wire, limits)
    tools = [_tool(index, tool) for index, tool in enumerate(wire.tools)]
    use = tool_use(tools, _tool_choice(wire), ignore_eos=wire.ignore_eos)
    end = ending(
        messages,
        continues=wire.continue_final_message if wire.HasField("continue_final_message") else None,
        begins=wire.add_generation_prompt if wire.HasField("add_generation_prompt") else None,
    )
    thinking = _thinking(wire)
    return GenerationRequest(new_id("chat"), messages, tools=use, ending=end, thinking=thinking, **shared)


def read_messages(wire: Collection[inference_pb2.ChatMessage]) -> tuple[Message, ...]:
    """Returns the messages of a chat. Raises InvalidFieldError."""
    check_message_count(len(wire))
    check_call_counts(len(message.tool_calls) for message in wire)
    return checked_messages([_message(message) for message in wire])


def _shared(wire: WireRequest, limits: Limits) -> dict[str, Any]:
    """Returns the fields of GenerationRequest that Generate and Chat have in common."""
    given: Given = {field.name: value for field, value in wire.ListFields()}
    sampling, n, stopping = limits.sampling(given), limits.count(given), limits.stopping(given)
    return {
        "sampling": sampling,
        "stopping": stopping,
        "constraint": _constraint(wire),
        "model": wire.model,
        "n": n,
        "adapters": checked_adapters("adapters", [_adapter(item) for item in wire.adapters]),
        "wants_times": wire.timings,
        "wants_progress": wire.return_progress,
    }


def _adapter(wire: inference_pb2.Adapter) -> Adapter:
    return Adapter(wire.id, wire.scale if wire.HasField("scale") else 1.0)


def _constraint(wire: WireRequest) -> Constraint | None:
    field = wire.WhichOneof("constraint")
    if field is None:
        return None
    value = wire.choice.texts if field == "choice" else getattr(wire, field)
    return read_constraint(field, value, ignore_eos=wire.ignore_eos)


def _message(wire: inference_pb2.ChatMessage) -> Message:
    calls = tuple(ToolCall(call.id, call.name, complete_arguments(call.arguments)) for call in wire.tool_calls)
    return Message(wire.role, wire.content, calls, wire.tool_call_id or None, wire.name or None, wire.reasoning_content)


def _tool(index: int, wire: tools_pb2.Tool) -> Tool:
    parameters, field = wire.parameters or NO_ARGUMENTS, f"tools[{index}].parameters"
    return Tool(wire.name, wire.description, parameters, strict=wire.strict, field=field)


def _thinking(wire: inference_pb2.ChatRequest) -> Thinking:
    return checked_thinking(
        Thinking(
            enabled=wire.thinking if wire.HasField("thinking") else None,
            effort=wire.reasoning_effort if wire.HasField("reasoning_effort") else None,
            budget=wire.thinking_budget if wire.HasField("thinking_budget") else None,
            variables=_variables(wire.chat_template_kwargs),
        )
    )


def _variables(wire: Struct) -> dict[str, object]:
    """Returns the values of a Struct; its numbers are all floats, of which those without a fraction become integers."""
    return {name: _plain(value) for name, value in wire.fields.items()}


def _plain(value: Value) -> object:
    match value.WhichOneof("kind"):
        case "struct_value":
            return _variables(value.struct_value)
        case "list_value":
            return [_plain(item) for item in value.list_value.values]
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
    return None


def _tool_choice(wire: inference_pb2.ChatRequest) -> ToolChoice:
    parallel = wire.parallel_tool_calls if wire.HasField("parallel_tool_calls") else None
    if not wire.HasField("tool_choice"):
        return ToolChoice(parallel=parallel)
    modes = {value.number: value.name for value in tools_pb2.ToolChoice.Mode.DESCRIPTOR.values}
    mode = modes.get(wire.tool_choice.mode)
    if mode is None:  # proto3's enums are open: any number arrives.
        expected = ", ".join(modes.values())
        raise InvalidFieldError("tool_choice.mode", f"is {wire.tool_choice.mode}; it must be one of {expected}")
    return ToolChoice(mode, wire.tool_choice.function or None, parallel)
