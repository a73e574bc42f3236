"""Tools: functions of the caller that a model may call."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from pydantic_core import from_json

from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.json_object import MAX_BYTES, check_object, finite
from llm_inference_api.requests.sizes import MAX_PROMPT_BYTES, check_size

MAX_TOOLS = 128
MAX_CALLS = 1024
"""Maximum number of tool calls in all messages of a request."""
MAX_ARGUMENT_DEPTH = 200
"""Maximum nesting depth of a call's arguments. A model may write more levels than a caller's schema has."""
TOOL_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
NO_ARGUMENTS = '{"type": "object", "properties": {}, "additionalProperties": false}'
"""JSON Schema of the arguments of a function without parameters."""


@dataclass(frozen=True, slots=True)
class Tool:
    """Definition of a function that the model may call."""

    name: str
    description: str
    parameters: str
    """JSON Schema of the arguments, as text."""
    strict: bool = False
    field: str = field(default="tools", compare=False)
    """Name of the request's field that has the schema, for error messages."""

    @property
    def size(self) -> int:
        """Size of description and parameters, in bytes of UTF-8."""
        return len(self.parameters.encode()) + len(self.description.encode())

    def check(self, field: str) -> None:
        """Raises InvalidFieldError, for a field below `field`, if the name, schema or size is invalid."""
        if not TOOL_NAME.fullmatch(self.name):
            problem = f"must be 1 to 64 letters, digits, '_', '-' and '.', not {self.name[:64]!r}"
            raise InvalidFieldError(f"{field}.name", problem)
        if self.size > MAX_BYTES:
            raise InvalidFieldError(field, f"has more than {MAX_BYTES} bytes")
        check_object(self.parameters, f"{field}.parameters")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function call made by the model."""

    id: str
    name: str
    arguments: str
    """The arguments: a JSON object, as text."""

    def check(self, field: str) -> None:
        """Raises InvalidFieldError if the arguments are not a JSON object."""
        check_object(self.arguments, f"{field}.arguments", MAX_PROMPT_BYTES, MAX_ARGUMENT_DEPTH)


def complete_arguments(text: str | None) -> str:
    """Returns the arguments of a call in the history: those of a call that was cut off, with what ends them.

    No text is `{}`. What is no beginning of a JSON object is returned unchanged; `ToolCall.check` refuses it.
    """
    if not text or text.strip() == "null":
        return "{}"
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return text if error.msg == "Extra data" else _completed(text)
    except (RecursionError, ValueError):  # The latter of an integer of too many digits.
        return text
    return text


def _completed(text: str) -> str:
    try:
        found = from_json(text, allow_partial="trailing-strings")
    except ValueError:
        return text
    return json.dumps(finite(found), ensure_ascii=False) if isinstance(found, dict) else text


class ToolMode(Enum):
    """Whether the model may call tools (AUTO) or must (REQUIRED)."""

    AUTO = "auto"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class ToolUse:
    """The tools of a request, and which of them may or must be called."""

    tools: tuple[Tool, ...]
    mode: ToolMode = ToolMode.AUTO
    function: str | None = None
    """The only tool that may be called."""
    parallel: bool = True
    """Whether one answer may call several tools."""

    @property
    def callable(self) -> tuple[Tool, ...]:
        """The tools that may be called. The prompt lists all tools, also the others."""
        return tuple(tool for tool in self.tools if self.function in (None, tool.name))


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Tool choice as set by the request; None for fields that it does not set."""

    mode: str | None = None
    """`AUTO`, `NONE` or `REQUIRED`."""
    function: str | None = None
    """The tool that must be called."""
    parallel: bool | None = None

    @property
    def is_given(self) -> bool:
        """Whether the request sets a mode or a function."""
        return self.mode is not None or self.function is not None


def tool_use(tools: Sequence[Tool], choice: ToolChoice, *, ignore_eos: bool) -> ToolUse | None:
    """Validates tools and tool choice, and returns them as a `ToolUse`; None if no tools apply.

    Raises:
        InvalidFieldError: A tool or the choice is invalid, or `ignore_eos` is set with tools.
    """
    check_tool_count(len(tools))
    check_size("tools", sum(tool.size for tool in tools))  # They are part of the prompt.
    for index, tool in enumerate(tools):
        tool.check(f"tools[{index}]")
    _check(tools, choice, ignore_eos=ignore_eos)
    if not tools or choice.mode == "NONE":
        return None
    required = choice.function is not None or choice.mode == "REQUIRED"
    mode = ToolMode.REQUIRED if required else ToolMode.AUTO
    return ToolUse(tuple(tools), mode, choice.function, parallel=choice.parallel is not False)


def check_tool_count(count: int) -> None:
    """Raises InvalidFieldError if there are too many tools."""
    if count > MAX_TOOLS:
        raise InvalidFieldError("tools", f"there are {count}; at most {MAX_TOOLS} are allowed")


def _check(tools: Sequence[Tool], choice: ToolChoice, *, ignore_eos: bool) -> None:
    names = [tool.name for tool in tools]
    if duplicates := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidFieldError("tools", f"{', '.join(duplicates)} is listed more than once")
    if not tools and choice.is_given:
        raise InvalidFieldError("tool_choice", "needs tools")
    if not tools and choice.parallel is not None:
        raise InvalidFieldError("parallel_tool_calls", "needs tools")
    if choice.function is not None and choice.function not in names:
        raise InvalidFieldError("tool_choice", f"{choice.function[:64]!r} is not one of the tools")
    if tools and ignore_eos:
        raise InvalidFieldError("ignore_eos", "cannot be combined with tools: an answer ends with its calls")
