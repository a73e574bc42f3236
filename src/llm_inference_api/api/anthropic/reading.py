"""Converts the parameters of Anthropic's requests into GenerationRequests.

Limits are those of the typed API; errors name the fields as the caller sent them.
"""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llm_inference_api.api.anthropic.params import (
    CountParams,
    MessageParam,
    MessagesParams,
    TextBlock,
    ThinkingBlock,
    ToolParam,
    ToolResultBlock,
    ToolUseBlock,
)
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.chat import Message, checked_messages, ending
from llm_inference_api.requests.constraint import Constraint, read_constraint
from llm_inference_api.requests.limits import Limits, new_id
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.requests.thinking import Names, Thinking, checked_thinking
from llm_inference_api.requests.tools import Tool, ToolCall, ToolChoice, tool_use

Params = MessagesParams | CountParams

_SAME = ("temperature", "top_p", "top_k", "seed")
"""Fields with the same name in both APIs."""
_MODES = {"auto": "AUTO", "any": "REQUIRED", "none": "NONE", "tool": None}
_DEFAULT_EFFORT = "high"
"""The effort that is the same as none in Anthropic's API. Agents send it with each request."""
_NAMES = Names("thinking", "output_config.effort", "thinking.budget_tokens")
_OURS = (
    (re.compile(r"^stop\b"), "stop_sequences"),
    (re.compile(r"^parallel_tool_calls$"), "tool_choice.disable_parallel_tool_use"),
    (re.compile(r"^(tools\[\d+\])\.parameters"), r"\1.input_schema"),
)
"""Names of fields in the typed API, and in this one."""
_MESSAGE = re.compile(r"^messages\[(\d+)\](.*)")


def read_messages(params: Params, limits: Limits) -> GenerationRequest:
    """Returns the request of a message, or of one whose tokens are counted. Raises InvalidFieldError."""
    found = [(None, Message("system", _joined(params.system)))] if params.system else []
    read: list[tuple[int | None, Message]] = [*found]
    for index, message in enumerate(params.messages):
        read += ((index, each) for each in _messages(index, message))
    with _anthropic_names([index for index, _ in read]):
        messages = checked_messages([message for _, message in read])
        end = ending(messages, continues=None, begins=None)
        tools = [_tool(index, tool) for index, tool in enumerate(params.tools or ())]
        given = _given(params)
        return GenerationRequest(
            new_id("msg").replace("-", "_"),
            messages,
            limits.sampling(given),
            limits.stopping(given),
            _constraint(params),
            model=params.model,
            tools=tool_use(tools, _choice(params), ignore_eos=False),
            ending=end,
            thinking=_thinking(params),
            wants_progress=True,
        )


@contextmanager
def _anthropic_names(places: Sequence[int | None]) -> Iterator[None]:
    """Translates field names in InvalidFieldErrors; `places` has the caller's message for each one that was made."""
    try:
        yield
    except InvalidFieldError as error:
        name = error.field
        for ours, theirs in _OURS:
            name = ours.sub(theirs, name)
        if (found := _MESSAGE.match(name)) and int(found[1]) < len(places):
            place = places[int(found[1])]
            name = "system" if place is None else f"messages[{place}].content"
        if name == error.field:
            raise
        raise InvalidFieldError(name, error.problem) from error


def _messages(index: int, message: MessageParam) -> Iterator[Message]:
    """Yields what a message is here: results of tools are messages of their own, before the text that follows them.

    Raises:
        InvalidFieldError: A block is none of the message's role.
    """
    if message.role == "assistant":
        yield _assistant(index, message)
        return
    texts: list[TextBlock] = []
    for at, block in enumerate(message.content):
        match block:
            case TextBlock():
                texts.append(block)
            case ToolResultBlock() if message.role == "user":
                if texts:
                    yield Message(message.role, _joined(texts))
                    texts = []
                yield Message("tool", _result(block), tool_call_id=block.tool_use_id)
            case _:
                raise _misplaced(index, at, block.type, message.role)
    if texts or not message.content:
        yield Message(message.role, _joined(texts))


def _assistant(index: int, message: MessageParam) -> Message:
    texts: list[TextBlock] = []
    thoughts: list[str] = []
    calls: list[ToolCall] = []
    for at, block in enumerate(message.content):
        match block:
            case TextBlock():
                texts.append(block)
            case ThinkingBlock():
                thoughts.append(block.thinking)
            case ToolUseBlock():
                calls.append(ToolCall(block.id, block.name, json.dumps(block.input, ensure_ascii=False)))
            case ToolResultBlock():
                raise _misplaced(index, at, block.type, message.role)
    return Message("assistant", _joined(texts), tuple(calls), reasoning="\n".join(thoughts))


def _misplaced(index: int, at: int, kind: str, role: str) -> InvalidFieldError:
    return InvalidFieldError(f"messages[{index}].content[{at}]", f"is of type {kind}, which the role {role} has not")


def _result(block: ToolResultBlock) -> str:
    text = _joined(block.content or ())
    return f"Error: {text}" if block.is_error else text


def _joined(texts: Sequence[TextBlock]) -> str:
    return "\n".join(block.text for block in texts)


def _given(params: Params) -> dict[str, Any]:
    if isinstance(params, CountParams):
        return {}
    given = {name: value for name in _SAME if (value := getattr(params, name)) is not None}
    return {**given, "max_tokens": params.max_tokens, "stop": params.stop_sequences or []}


def _tool(index: int, tool: ToolParam) -> Tool:
    schema = json.dumps(tool.input_schema, ensure_ascii=False)
    field = f"tools[{index}].input_schema"
    return Tool(tool.name, tool.description or "", schema, strict=bool(tool.strict), field=field)


def _choice(params: Params) -> ToolChoice:
    choice = params.tool_choice
    if choice is None:
        return ToolChoice()
    if (choice.type == "tool") != (choice.name is not None):
        raise InvalidFieldError("tool_choice.name", "is required for the type tool, and allowed for no other")
    parallel = None if choice.disable_parallel_tool_use is None else not choice.disable_parallel_tool_use
    return ToolChoice(_MODES[choice.type], choice.name, parallel)


def _constraint(params: Params) -> Constraint | None:
    config = params.output_config.format if params.output_config else None
    if config is not None and params.output_format is not None:
        raise InvalidFieldError("output_format", "contradicts output_config.format; leave one of them out")
    wanted, field = (config, "output_config.format") if config is not None else (params.output_format, "output_format")
    if wanted is None:
        return None
    return read_constraint("json_schema", json.dumps(wanted.schema_), ignore_eos=False, field=field)


def _thinking(params: Params) -> Thinking:
    wanted = params.thinking
    effort = params.output_config.effort if params.output_config else None
    is_default = effort == _DEFAULT_EFFORT
    if wanted is None:
        return checked_thinking(Thinking(effort=effort, effort_is_default=is_default, names=_NAMES))
    if (wanted.type == "enabled") != (wanted.budget_tokens is not None):
        raise InvalidFieldError("thinking.budget_tokens", "is required for the type enabled, and allowed for no other")
    if wanted.budget_tokens is not None and wanted.budget_tokens < 1:
        raise InvalidFieldError("thinking.budget_tokens", f"must be at least 1, not {wanted.budget_tokens}")
    enabled = {"enabled": True, "disabled": False, "adaptive": None}[wanted.type]
    is_shown = wanted.display != "omitted"
    thinking = Thinking(
        enabled, effort, wanted.budget_tokens, is_shown=is_shown, effort_is_default=is_default, names=_NAMES
    )
    return checked_thinking(thinking)
