"""Chats rendered by every template, as this service does it and as transformers does."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any

from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.chat import Ending, Message
from llm_inference_api.requests.thinking import Thinking
from llm_inference_api.requests.tools import Tool, ToolCall
from llm_inference_api.text.chat_template import ChatTemplate

PYTHON = "TRANSFORMERS_PYTHON"
"""Environment variable with the Python that has transformers; unset: this one."""
BOS, EOS = "<bos>", "<eos>"
_PROGRAM = Path(__file__).with_name("transformers_program.py")


@dataclass(frozen=True)
class Chat:
    """A chat that every template is given."""

    name: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    end: Ending = Ending.ANSWER
    thinking: bool | None = None

    @property
    def words(self) -> Counter[str]:
        """What a rendering has to have. Thoughts of earlier turns are left out by many templates, rightly."""
        said = [message.content for message in self.messages]
        called = [call.name for message in self.messages for call in message.tool_calls]
        described = [text for tool in self.tools for text in (tool.name, tool.description)]
        return Counter(_WORD.findall(" ".join([*said, *called, *described])))


_WORD = re.compile(r"\w+")
_WEATHER = Tool(
    "get_weather",
    "Tells the weather.",
    json.dumps(
        {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "A town's name."},
                "days": {"type": "integer"},
                "units": {"type": "string", "enum": ["metric", "imperial"]},
            },
            "required": ["city"],
        }
    ),
)
_SEARCH = Tool(
    "search",
    "Searches documents.",
    json.dumps(
        {
            "type": "object",
            "properties": {
                "query": {"type": "object", "properties": {"all": {"type": "array", "items": {"type": "string"}}}},
                "exact": {"type": "boolean"},
                "limit": {"type": "number"},
            },
            "required": ["query"],
        }
    ),
)
_NOTHING = Tool("now", "Tells the time.", '{"type": "object", "properties": {}}')
_TOOLS = (_WEATHER, _SEARCH, _NOTHING)
_SYSTEM, _HI, _ASK = Message("system", "Be brief."), Message("user", "Hi there."), Message("user", "What now?")
_HELLO = Message("assistant", "Hello you.")


def _call(name: str, arguments: str, number: int = 1, text: str = "", thoughts: str = "") -> Message:
    return Message("assistant", text, (ToolCall(f"call0000{number}", name, arguments),), reasoning=thoughts)


def _result(text: str, number: int = 1, name: str | None = None) -> Message:
    return Message("tool", text, tool_call_id=f"call0000{number}", name=name)


_WEATHER_CALL = _call("get_weather", '{"city": "São \\"Paulo\\"\\nBR"}')
_SEARCH_CALL = _call("search", '{"query": {"all": ["a <b>", "c"]}, "exact": true, "limit": 2.5}')
_BOTH = Message(
    "assistant",
    "",
    (ToolCall("call00001", "get_weather", '{"city": "Rome", "days": 3}'), ToolCall("call00002", "now", "{}")),
)
_RESULT = _result('{"temperature": 21}')
_CLEAR = Message("assistant", "It is clear.")
CHATS = (
    Chat("plain", (_HI,)),
    Chat("system", (_SYSTEM, _HI)),
    Chat("turns", (_SYSTEM, _HI, _HELLO, _ASK)),
    Chat("closed", (_HI, _HELLO), end=Ending.CLOSED),
    Chat("spaces", (Message("user", "  two\n\n"), Message("assistant", "\n three \n"), _ASK)),
    Chat("tools", (_SYSTEM, _HI), _TOOLS),
    Chat("tools, no system", (_HI,), _TOOLS),
    Chat("call", (_HI, _WEATHER_CALL, _RESULT), _TOOLS),
    Chat("call, number", (_HI, _call("get_weather", '{"city": "x", "days": 3}'), _RESULT), _TOOLS),
    Chat("call, nested", (_HI, _SEARCH_CALL, _RESULT), _TOOLS),
    Chat("call, empty", (_HI, _call("now", "{}"), _RESULT), _TOOLS),
    Chat("call, named result", (_HI, _WEATHER_CALL, _result("21", name="get_weather")), _TOOLS),
    Chat("call, text", (_HI, _call("now", "{}", text="I will look."), _RESULT), _TOOLS),
    Chat("call, answer", (_HI, _WEATHER_CALL, _RESULT, _CLEAR, _ASK), _TOOLS),
    Chat("calls", (_HI, _BOTH, _result("21"), _result("12:00", 2)), _TOOLS),
    Chat("calls one by one", (_HI, _WEATHER_CALL, _RESULT, _call("now", "{}", 2), _result("12:00", 2)), _TOOLS),
    Chat("thoughts", (_HI, Message("assistant", "Hello you.", reasoning="They greet."), _ASK)),
    Chat("thoughts, call", (_HI, _call("now", "{}", thoughts="I need the time."), _RESULT), _TOOLS),
    Chat("thoughts, closed", (_HI, Message("assistant", "Hello.", reasoning="They greet.")), end=Ending.CLOSED),
    Chat("prefill", (_HI, Message("assistant", "Hello")), end=Ending.CONTINUE),
    Chat("thinking", (_SYSTEM, _HI), thinking=True),
    Chat("no thinking", (_SYSTEM, _HI), thinking=False),
    Chat("no thinking, tools", (_HI,), _TOOLS, thinking=False),
)


class Kind(Enum):
    """How a rendering of ours stands to that of transformers."""

    SAME = "same"
    TOLD = "the same where transformers is told what templates are told here"
    """Thinking is on, today's date, thoughts by their third name `reasoning`."""
    GENERIC = "the template knows no tools; they are explained in words"
    REFUSED = "transformers, or the template, refuses the chat; it is rewritten"
    LOSSY = "the template leaves out a text of the chat; it is rewritten"
    DIFFERS = "differs"

    @property
    def is_same(self) -> bool:
        """Whether both render the same."""
        return self in (Kind.SAME, Kind.TOLD)

    @property
    def is_rewritten(self) -> bool:
        """Whether there is nothing to compare with."""
        return self in (Kind.GENERIC, Kind.REFUSED, Kind.LOSSY)


@dataclass(frozen=True)
class Rendering:
    """A template's rendering of a chat."""

    template: str
    chat: Chat
    kind: Kind
    ours: str
    theirs: str
    problem: str
    """Why there is none of ours, or of theirs."""

    @property
    def first_difference(self) -> str:
        """Where both part."""
        characters = zip(f"{self.ours}\0", f"{self.theirs}\1", strict=False)
        same = next(at for at, (one, other) in enumerate(characters) if one != other)
        return f"{self.ours[same : same + 40]!r}, not {self.theirs[same : same + 40]!r}"


def render_all(templates: Mapping[str, tuple[str, ChatTemplate]]) -> Iterator[Rendering]:
    """Yields every template's rendering of every chat; templates are sources and templates, by name."""
    asked = [
        _question(source, chat, _switch(template, chat), in_parts=in_parts, is_told=is_told)
        for source, template in templates.values()
        for chat in CHATS
        for is_told in (False, True)
        for in_parts in (False, True)
    ]
    answers = iter(_transformers(asked))
    for name, (_, template) in templates.items():
        for chat in CHATS:
            plain, told = ((_better(next(answers), next(answers), chat)) for _ in range(2))
            ours, problem = _ours(template, chat)
            kind = _kind(template, chat, ours, plain, told)
            theirs = told if kind is Kind.TOLD else plain
            yield Rendering(name, chat, kind, ours, theirs["text"], problem or theirs["problem"])


def _kind(template: ChatTemplate, chat: Chat, ours: str, plain: Mapping[str, str], told: Mapping[str, str]) -> Kind:
    if ours and ours == plain["text"]:
        return Kind.SAME
    if ours and ours == told["text"]:
        return Kind.TOLD
    if template.form.is_generic and chat.tools:
        return Kind.GENERIC
    if not ours:
        return Kind.DIFFERS
    if told["problem"]:
        return Kind.REFUSED
    return Kind.DIFFERS if _keeps(told, chat) else Kind.LOSSY


def _better(texts: dict[str, str], parts: dict[str, str], chat: Chat) -> dict[str, str]:
    """Returns the rendering of contents as lists of parts for a template that keeps all texts only then."""
    return parts if _keeps(parts, chat) and not _keeps(texts, chat) else texts


def _keeps(rendered: Mapping[str, str], chat: Chat) -> bool:
    is_code = "{'type': 'text'" in rendered["text"]
    return not rendered["problem"] and not is_code and chat.words <= Counter(_WORD.findall(rendered["text"]))


def _told(chat: Chat) -> dict[str, object]:
    """Returns variables that a template has here, and not in transformers."""
    now = datetime.now().astimezone()
    return {
        "enable_thinking": True,
        "datetime": now.strftime("%b %d %Y"),
        "date_string": now.strftime("%d %b %Y"),
        "functions": json.dumps(_tools(chat), indent=2, ensure_ascii=False) if chat.tools else "",
    }


def _switch(template: ChatTemplate, chat: Chat) -> dict[str, object]:
    switch = template.form.switch
    if chat.thinking is None or switch is None or not switch.variable:
        return {}
    return {switch.variable: switch.on if chat.thinking else switch.off}


def _ours(template: ChatTemplate, chat: Chat) -> tuple[str, str]:
    try:
        is_switched = template.form.switch is not None and bool(template.form.switch.variable)
        thinking = Thinking(chat.thinking if is_switched else None)
        return "".join(template.render(chat.messages, chat.tools, chat.end, thinking).parts), ""
    except InvalidFieldError as error:
        return "", str(error)


def _transformers(asked: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    command = [os.environ.get(PYTHON, sys.executable), str(_PROGRAM)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    found = subprocess.run(
        command, input=json.dumps(asked), capture_output=True, text=True, check=True, env=environment
    )
    answers: list[dict[str, str]] = json.loads(found.stdout)
    return answers


def _question(
    source: str, chat: Chat, switched: Mapping[str, object], *, in_parts: bool, is_told: bool
) -> dict[str, Any]:
    return {
        "template": source,
        "messages": [_message(message, in_parts=in_parts, is_told=is_told) for message in chat.messages],
        "tools": _tools(chat) or None,
        "begins": chat.end is Ending.ANSWER,
        "continues": chat.end is Ending.CONTINUE,
        "tokens": {"bos_token": BOS, "eos_token": EOS},
        "variables": {**(_told(chat) if is_told else {}), **switched},
    }


def _tools(chat: Chat) -> list[dict[str, object]]:
    given = [
        {"name": tool.name, "description": tool.description, "parameters": json.loads(tool.parameters)}
        for tool in chat.tools
    ]
    return [{"type": "function", "function": function} for function in given]


def _message(message: Message, *, in_parts: bool, is_told: bool) -> dict[str, Any]:
    content: object = [{"type": "text", "text": message.content}] if in_parts else message.content
    found: dict[str, Any] = {"role": message.role, "content": content}
    if message.tool_calls:
        found["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.loads(call.arguments)},
            }
            for call in message.tool_calls
        ]
    optional = {
        "reasoning_content": message.reasoning or None,
        "reasoning": (message.reasoning or None) if is_told else None,
        "tool_call_id": message.tool_call_id,
        "name": message.name,
    }
    return found | {name: value for name, value in optional.items() if value is not None}
