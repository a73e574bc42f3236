"""Functions of the caller that a model may call, free of wire types."""

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call."""

    name: str
    description: str
    parameters: str
    """A JSON Schema of the arguments, as text."""
    strict: bool = False


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model made."""

    id: str
    name: str
    arguments: str
    """A JSON object, as text."""


class ToolMode(Enum):
    """How free a model with tools is."""

    AUTO = "auto"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class ToolUse:
    """The tools of a request."""

    tools: tuple[Tool, ...]
    mode: ToolMode = ToolMode.AUTO
    function: str | None = None
    """The only tool that may be called."""
    parallel: bool = True
    """Whether one answer may call several tools."""

    @property
    def callable(self) -> tuple[Tool, ...]:
        """The tools that may be called; the model is told of all."""
        return tuple(tool for tool in self.tools if self.function in (None, tool.name))
