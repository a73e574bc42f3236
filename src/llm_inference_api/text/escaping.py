"""Escapes the texts of control tokens in what callers write, so that no message forges a turn."""

import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from llm_inference_api.requests.chat import Message
from llm_inference_api.requests.tools import Tool


class Escaping:
    """Cuts the texts of control tokens apart. The cuts of one escaping are found again by `split`."""

    def __init__(self, controls: "ControlTexts", said: "ControlTexts | None" = None) -> None:
        """Takes the texts to escape, and those to escape in what the assistant has said; None: the same."""
        self._controls = controls
        self._said = said or controls
        self._cut = f"\ufdd0{secrets.token_hex(8)}\ufdd0"

    def message(self, message: Message) -> Message:
        """Returns the message with its content, reasoning, tool calls, call id and name escaped."""
        text = self.text
        said = self._of_assistant if message.role == "assistant" else text
        calls = tuple(
            replace(call, id=text(call.id), name=text(call.name), arguments=_each_json_text(call.arguments, text))
            for call in message.tool_calls
        )
        call_id, name = (value if value is None else text(value) for value in (message.tool_call_id, message.name))
        return Message(message.role, said(message.content), calls, call_id, name, text(message.reasoning))

    def tool(self, tool: Tool) -> Tool:
        """Returns the tool with its description and parameters escaped."""
        parameters = _each_json_text(tool.parameters, self.text)
        return replace(tool, description=self.text(tool.description), parameters=parameters)

    def variables(self, variables: Mapping[str, object]) -> dict[str, object]:
        """Returns the variables of a template with the texts in their values escaped."""
        return {name: _each_text(value, self.text) for name, value in variables.items()}

    def text(self, text: str) -> str:
        """Returns the text with a cut behind the first character of each control token's text.

        There is another one before a suffix that starts a control token's text, which the template might complete.
        """
        return self._controls.cut(text, self._cut)

    def _of_assistant(self, text: str) -> str:
        """Returns the text escaped but for markers of thoughts, at which templates divide earlier answers."""
        return self._said.cut(text, self._cut)

    def split(self, text: str) -> list[str]:
        """Returns the parts of a text between the cuts."""
        return text.split(self._cut)

    def plain(self, text: str) -> str:
        """Returns the text without the cuts."""
        return text.replace(self._cut, "")


class ControlTexts:
    """The texts of a model's control tokens."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._pattern = _any_of(texts)
        self._starts = {text[:size] for text in texts for size in range(1, len(text))}
        self._longest_start = max(map(len, self._starts), default=0)

    def cut(self, text: str, cut: str) -> str:
        """Returns the text with `cut` inside the texts of control tokens; see `Escaping.text`."""
        if self._pattern is None:
            return text
        text = self._pattern.sub(lambda found: found[0][0] + cut + found[0][1:], text)
        stripped = text.rstrip()
        return stripped + cut + text[len(stripped) :] if self._is_start_at_end(stripped) else text

    def _is_start_at_end(self, text: str) -> bool:
        return any(text[-size:] in self._starts for size in range(1, min(len(text), self._longest_start) + 1))


def _each_json_text(text: str, change: Callable[[str], str]) -> str:
    return json.dumps(_each_text(json.loads(text), change), ensure_ascii=False)


def _each_text(value: object, change: Callable[[str], str]) -> object:
    """Returns a JSON value with all its texts changed, also the keys of objects."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(key): _each_text(inner, change) for key, inner in value.items()}
    return [_each_text(inner, change) for inner in value] if isinstance(value, list) else value


def _any_of(texts: Sequence[str]) -> re.Pattern[str] | None:
    longer = sorted((text for text in texts if len(text) > 1), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longer))) if longer else None
