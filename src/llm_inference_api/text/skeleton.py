"""`Skeleton`: a chat without its words, by which the form is found that a template renders whole."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from llm_inference_api.requests.chat import Message
from llm_inference_api.requests.tools import NO_ARGUMENTS, Tool, ToolCall


class _Bone(NamedTuple):
    """What a message has."""

    role: str
    has_content: bool
    calls: tuple[int, ...]
    """Numbers of its calls."""
    result_of: int | None
    """Number of the call whose result it is."""
    has_name: bool
    has_reasoning: bool


class Skeleton(NamedTuple):
    """Which messages a chat has, with words in the place of their texts. Chats with equal ones are rendered alike."""

    bones: tuple[_Bone, ...]
    has_tools: bool
    begins: bool
    """Whether the answer begins at the end of the prompt."""

    @classmethod
    def of(cls, messages: Sequence[Message], *, has_tools: bool, begins: bool) -> "Skeleton":
        """Returns the skeleton of a chat."""
        count = itertools.count()
        numbers: dict[str, int] = {}

        def number(call_id: str) -> int:
            if call_id not in numbers:
                numbers[call_id] = next(count)
            return numbers[call_id]

        bones = (
            _Bone(
                message.role,
                bool(message.content),
                tuple(number(call.id) for call in message.tool_calls),
                None if message.tool_call_id is None else number(message.tool_call_id),
                message.name is not None,
                bool(message.reasoning),
            )
            for message in messages
        )
        return cls(tuple(bones), has_tools, begins)

    def messages(self) -> list[Message]:
        """Returns the messages, each with a word of its own in the place of its content."""
        return [
            Message(
                bone.role,
                _word(index) if bone.has_content else "",
                tuple(ToolCall(_call_id(call), "f", '{"a": "b"}') for call in bone.calls),
                None if bone.result_of is None else _call_id(bone.result_of),
                "f" if bone.has_name else None,
                "so" if bone.has_reasoning else "",
            )
            for index, bone in enumerate(self.bones)
        ]

    def tools(self) -> list[Tool]:
        """Returns the tools: one, if the chat has any."""
        return [Tool("f", "Does it.", NO_ARGUMENTS)] if self.has_tools else []

    def missing(self, text: str) -> list[_Bone]:
        """Returns what is left of the messages whose words are not in the text."""
        return [bone for index, bone in enumerate(self.bones) if bone.has_content and _word(index) not in text]


def _word(index: int) -> str:
    """Returns a word that is no part of another one, nor likely to be a template's own."""
    return f"zq{index}qz"


def _call_id(number: int) -> str:
    """Returns an id of 9 characters, which Mistral's templates require."""
    return f"c{number:08}"
