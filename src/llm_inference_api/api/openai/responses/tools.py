"""Tools of a request: functions, alone or in namespaces."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from llm_inference_api.api.bodies import FIRST_ERROR, Json, No, Strict, at_most, validated
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.tools import MAX_TOOLS, NO_ARGUMENTS, Tool


class FunctionTool(Strict):
    """A function of the caller that the model may call."""

    type: Literal["function"]
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    defer_loading: No | None = None
    async_: Annotated[No | None, Field(alias="async")] = None
    allowed_callers: list[Literal["direct"]] | None = None
    output_schema: Any = None
    """Ignored: it says nothing of how the function is called."""


class NamespaceTool(Strict):
    """Functions whose calls name the namespace beside the function."""

    type: Literal["namespace"]
    name: str
    description: str | None = None
    tools: Annotated[list[FunctionTool], FIRST_ERROR, at_most(MAX_TOOLS, "tools")]


AnyTool = FunctionTool | NamespaceTool
_KINDS: Mapping[str, type[AnyTool]] = {"function": FunctionTool, "namespace": NamespaceTool}


class CallName(NamedTuple):
    """What a call says that it calls."""

    name: str
    namespace: str | None = None

    @property
    def full(self) -> str:
        """The name by which the model knows the function."""
        return f"{self.namespace}.{self.name}" if self.namespace else self.name


class Function(NamedTuple):
    """A function, and where the request has it."""

    called: CallName
    tool: FunctionTool
    field: str
    """Name of the request's field, for errors."""
    about: str = ""
    """What the namespace says of all its functions."""

    def for_model(self) -> Tool:
        """Returns the function as the model is told of it: a namespace is a part of the name and of the description."""
        tool = self.tool
        parameters = NO_ARGUMENTS if tool.parameters is None else json.dumps(tool.parameters, ensure_ascii=False)
        description = "\n".join(filter(None, (self.about, tool.description)))
        return Tool(
            self.called.full, description, parameters, strict=bool(tool.strict), field=f"{self.field}.parameters"
        )


def functions_of(tools: Sequence[Json]) -> list[Function]:
    """Returns the functions of all tools. Raises InvalidFieldError for a tool that is invalid, or no function."""
    return [function for index, value in enumerate(tools) for function in _functions(index, _read(value, index))]


def _functions(index: int, tool: AnyTool) -> Iterator[Function]:
    field = f"tools[{index}]"
    if isinstance(tool, FunctionTool):
        yield Function(CallName(tool.name), tool, field)
        return
    for place, inner in enumerate(tool.tools):
        yield Function(CallName(inner.name, tool.name), inner, f"{field}.tools[{place}]", tool.description or "")


def _read(value: Json, index: int) -> AnyTool:
    kind = value.get("type")
    model = _KINDS.get(kind) if isinstance(kind, str) else None
    if model is None:
        problem = f"{str(kind)[:50]!r} is not run here; leave it out, or give a function and run it in the client"
        raise InvalidFieldError(f"tools[{index}].type", problem)
    return validated(model, value, {}, "tools", index)
