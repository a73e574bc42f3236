"""`Probes`: renders a chat template with words that stand in no template, to see what it writes around them."""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from llm_inference_api.requests.chat import Message
from llm_inference_api.requests.tools import Tool, ToolCall

FUNCTIONS = ("zqfunone", "zqfuntwo")
KEYS = ("zqkeyone", "zqkeytwo")
TEXT = "zqtext"
IDS = ("zqidone01", "zqidtwo02")
"""Call ids of 9 letters and digits, which Mistral's templates require."""
USER, CONTENT, THOUGHT, RESULT = "zquser", "zqcontent", "zqthought", "zqresult"
_WORDS = (*FUNCTIONS, *KEYS, TEXT, *IDS, USER, CONTENT, THOUGHT, RESULT)


class RefusedError(Exception):
    """The template refuses a chat, or fails on it."""


class CostlyError(Exception):
    """The template takes too long, or too much memory, for a chat of a few words."""


class Renderer(Protocol):
    """Renders a chat template."""

    def __call__(
        self, messages: Sequence[Message], tools: Sequence[Tool], variables: Mapping[str, object], *, begins: bool
    ) -> str:
        """Returns the text of a chat.

        Args:
            messages: The chat.
            tools: Its tools.
            variables: What else the template is told.
            begins: Whether the answer begins at the end of the prompt.

        Raises:
            RefusedError: The template refuses the chat, or fails on it.
            CostlyError: It takes too long, or too much memory. No further chats are rendered then.
        """


class ProbeCall(NamedTuple):
    """A call of a probe."""

    function: str
    arguments: Mapping[str, object]
    id: str = IDS[0]


class Probes:
    """Renderings of one template."""

    def __init__(self, render: Renderer) -> None:
        self._render = render
        self.rendered: list[str] = []
        """All texts that the template has written."""
        self._known: dict[str, str | None] = {}

    def of(
        self,
        *answers: Message,
        tools: bool = False,
        begins: bool = False,
        variables: Mapping[str, object] | None = None,
    ) -> str | None:
        """Returns the text of a chat of the user's word and what follows; None if the template refuses it.

        Args:
            answers: Messages after the user's.
            tools: Whether there are tools.
            begins: Whether the answer begins at the end of the prompt.
            variables: What else the template is told; None: as in a chat that says nothing of thoughts.
        """
        given = {"variables": dict(variables)} if variables is not None else {}
        key = repr((answers, tools, begins, given))
        if key not in self._known:
            self._known[key] = self._text(answers, tools=tools, begins=begins, variables=variables)
        return self._known[key]

    def _text(
        self, answers: Sequence[Message], *, tools: bool, begins: bool, variables: Mapping[str, object] | None
    ) -> str | None:
        messages = [Message("user", USER), *answers]
        try:
            text = self._render(messages, TOOLS if tools else (), variables or {}, begins=begins)
        except RefusedError:
            return None
        self.rendered.append(text)
        return text

    @property
    def structure(self) -> tuple[str, ...]:
        """What the template has written between the words of the chats."""
        return tuple(dict.fromkeys(part for text in self.rendered for part in _split(text) if part.strip()))


def says(content: str = "", thought: str = "", calls: Sequence[ProbeCall] = ()) -> Message:
    """Returns a message of the assistant."""
    made = tuple(ToolCall(call.id, call.function, json.dumps(dict(call.arguments))) for call in calls)
    return Message("assistant", content, made, reasoning=thought)


def _split(text: str) -> list[str]:
    for word in _WORDS:
        text = text.replace(word, "\0")
    return text.split("\0")


_PROPERTY = {"type": "string", "description": "Zqdescription."}
TOOLS = [
    Tool(
        function,
        "Zqdescription.",
        json.dumps({"type": "object", "properties": dict.fromkeys(KEYS, _PROPERTY), "required": [KEYS[0]]}),
    )
    for function in FUNCTIONS
]
