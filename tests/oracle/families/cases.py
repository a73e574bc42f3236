"""llama.cpp's parsed cases: what a model writes, and what it means (tests/test-chat.cpp)."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from llm_inference_api.requests.chat import Message
from llm_inference_api.requests.tools import Tool, ToolCall
from tests.oracle.families import cpp

SOURCE = "tests/test-chat.cpp"
TEMPLATES = "models/templates"


@dataclass(frozen=True)
class Answer:
    """What an answer means."""

    content: str = ""
    thoughts: str = ""
    calls: tuple[ToolCall, ...] = ()
    """Ids are empty where none is written."""


@dataclass(frozen=True)
class Case:
    """One case."""

    template: str
    """Name of the template's file, without its suffix."""
    line: int
    """Where the case stands."""
    text: str
    """What the model writes."""
    expected: Answer = Answer()
    tools: tuple[Tool, ...] = ()
    messages: tuple[Message, ...] = (Message("user", "Hey there!"),)
    thinking: bool = True
    choice: str = "auto"
    is_parallel: bool = False
    schema: str = ""
    continues: bool = False
    begins: bool = True
    is_partial: bool = False
    is_parsed: bool = False
    """Whether thoughts are to be told from content."""

    @property
    def name(self) -> str:
        """Template and line."""
        return f"{self.template}:{self.line}"


@dataclass
class _Tester:
    """`peg_tester`, and the cases that its chains of calls build."""

    template: str
    found: list[Case]

    def call(self, method: str, arguments: Sequence[Any], line: int) -> "_Builder":
        if method != "test":
            raise cpp.UnreadableError(f"line {line}: {method} is unknown")
        return _Builder(Case(self.template, line, arguments[0]), self.found)


@dataclass
class _Builder:
    """`peg_test_builder`."""

    case: Case
    found: list[Case] = field(repr=False)

    def call(self, method: str, arguments: Sequence[Any], line: int) -> "_Builder":
        if method == "run":
            self.found.append(self.case)
        elif method in _EXPECTED:
            name, read = _EXPECTED[method]
            self.case = replace(self.case, expected=replace(self.case.expected, **{name: read(arguments[0])}))
        elif method in _SET:
            name, read = _SET[method]
            self.case = replace(self.case, **{name: read(arguments[0])})
        elif method != "expect_reconstruction":
            raise cpp.UnreadableError(f"line {line}: {method} is unknown")
        return self


def read_cases(directory: Path) -> list[Case]:
    """Returns all cases of llama.cpp's sources, in their order.

    Raises:
        UnreadableError: A case cannot be read.
    """
    found: list[Case] = []
    functions: dict[str, Callable[..., Any]] = {
        "peg_tester": lambda path, *_: _Tester(Path(path).stem, found),
        "simple_assist_msg": _assistant,
        "message_with_tool_calls": lambda name, arguments: _assistant("", "", name, arguments),
        "message_with_tool_calls_and_reasoning": lambda name, arguments, why: _assistant("", why, name, arguments),
        "message_with_reasoning_content_and_multiple_tool_calls": _with_calls,
        "message_with_content_and_tool_call": lambda text, name, arguments: _assistant(text, "", name, arguments),
        "message_with_reasoning_and_tool_call": lambda why, name, arguments: _assistant("", why, name, arguments),
        "std::string": lambda text="": text,
    }
    reader = cpp.Reader(functions, {"common_chat_tool": list, "common_chat_msg": _given_message})
    names: dict[str, Any] = {}
    for statement in cpp.statements(cpp.tokens_of((directory / SOURCE).read_text())):
        try:
            reader.run(statement, names)
        except cpp.UnreadableError:  # Helpers of llama.cpp, of which none is a case.
            continue
    reader.call("test_template_output_peg_parsers", names, False)
    return found


def _assistant(content: str, reasoning: str = "", name: str = "", arguments: str = "", id: str = "") -> dict[str, Any]:  # noqa: A002
    calls = [[name, arguments, id]] if name or id else []
    return {"role": "assistant", "content": content, "reasoning_content": reasoning, "tool_calls": calls}


def _with_calls(reasoning: str, content: str, calls: Sequence[Sequence[str]]) -> dict[str, Any]:
    return _assistant(content, reasoning) | {"tool_calls": [[name, arguments, ""] for name, arguments in calls]}


_FIELDS = ("role", "content", "content_parts", "tool_calls", "reasoning_content", "tool_name", "tool_call_id")


def _given_message(values: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(_FIELDS, values, strict=False))


def _answer(message: dict[str, Any]) -> Answer:
    calls = _calls(message.get("tool_calls", []))
    return Answer(message.get("content", ""), message.get("reasoning_content", ""), calls)


def _calls(given: Sequence[Sequence[Any]]) -> tuple[ToolCall, ...]:
    """Returns calls; an id of `{}` is an empty one."""
    return tuple(ToolCall((call[2] or "") if len(call) > 2 else "", call[0], call[1] or "{}") for call in given)


def _message(given: dict[str, Any]) -> Message:
    calls = [replace(call, arguments=json.dumps(json.loads(call.arguments))) for call in _answer(given).calls]
    return Message(
        given["role"],
        given.get("content", ""),
        tuple(calls),
        given.get("tool_call_id") or None,
        given.get("tool_name") or None,
        given.get("reasoning_content", ""),
    )


def _is_set(mode: str) -> bool:
    return not mode.endswith("_NONE")


_SET: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "tools": ("tools", lambda tools: tuple(Tool(*tool) for tool in tools)),
    "messages": ("messages", lambda messages: tuple(_message(message) for message in messages)),
    "enable_thinking": ("thinking", bool),
    "reasoning_format": ("is_parsed", _is_set),
    "parallel_tool_calls": ("is_parallel", bool),
    "tool_choice": ("choice", lambda choice: choice.rpartition("_")[2].lower()),
    "json_schema": ("schema", str),
    "continue_final_message": ("continues", _is_set),
    "add_generation_prompt": ("begins", bool),
    "is_partial": ("is_partial", bool),
    "expect": ("expected", _answer),
}
"""The case's field that a method sets, and how its argument is read."""
_EXPECTED: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "expect_content": ("content", str),
    "expect_reasoning": ("thoughts", str),
    "expect_tool_calls": ("calls", _calls),
}
