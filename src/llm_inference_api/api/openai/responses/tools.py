"""Tools of a request: functions, alone or in namespaces."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from llm_inference_api.api.bodies import FIRST_ERROR, Json, Strict, at_most, validated
from llm_inference_api.api.openai.params import No
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.tools import MAX_TOOLS


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


def functions_of(tools: Sequence[Json]) -> list[Function]:
    """Returns the functions of all tools. Raises InvalidFieldError for a tool that is invalid, or no function."""
    found = []
    for index, value in enumerate(tools):
        field = f"tools[{index}]"
        match _read(value, index):
            case FunctionTool() as tool:
                found.append(Function(CallName(tool.name), tool, field))
            case NamespaceTool() as space:
                found += (
                    Function(CallName(tool.name, space.name), tool, f"{field}.tools[{place}]")
                    for place, tool in enumerate(space.tools)
                )
    return found


def _read(value: Json, index: int) -> AnyTool:
    kind = value.get("type")
    model = _KINDS.get(kind) if isinstance(kind, str) else None
    if model is None:
        raise InvalidFieldError(f"tools[{index}].type", not_run(kind))
    return validated(model, value, {}, "tools", index)


def not_run(kind: object) -> str:
    """Returns what is said of a tool that is no function."""
    return f"{str(kind)[:50]!r} is not run here; give a function, and run it in the client"
