"""Renders chats with the model's Jinja template, and escapes control tokens in the messages.

A template is code from the model file, so it runs in Jinja's immutable sandbox, in a process with limits of time and
memory.
"""

import json
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property

from llm_inference_api.errors import InvalidFieldError, ModelFailedError
from llm_inference_api.processes.limited_child import LimitedChild
from llm_inference_api.requests.chat import Message
from llm_inference_api.requests.tools import Tool
from llm_inference_api.text import template_process
from llm_inference_api.text.families.tool_format import THINK, ToolFormat, as_json, format_of, without_null
from llm_inference_api.text.families.tool_messages import explained

Messages = Sequence[Message]


class ChatTemplate:
    """Chat template of one model."""

    def __init__(self, source: str | None, bos: str, eos: str, control_texts: Sequence[str]) -> None:
        """Compiles the template.

        Args:
            source: Jinja source; None for a model without a template, whose chats become `role: content` lines.
            bos: Text of the BOS token, for the template.
            eos: Text of the EOS token, for the template.
            control_texts: Texts of the control tokens, which are escaped in messages.

        Raises:
            ModelFailedError: The source is not a valid template.
        """
        self.is_own = source is not None
        """Whether the model has a template of its own."""
        self.tool_format = format_of(source)
        """Syntax of the model's tool calls."""
        self._tokens = {"bos_token": bos, "eos_token": eos}
        self._controls = _any_of(control_texts)
        self._control_starts = {text[:size] for text in control_texts for size in range(1, len(text))}
        self._longest_start = max(map(len, self._control_starts), default=0)
        self._template = _compiled(source) if source is not None else None

    @cached_property
    def opens_thoughts(self) -> bool:
        """Whether the generation prompt ends with `<think>`, so that answers start inside the thoughts."""
        return (self._try("user") or "").rstrip().endswith(THINK)

    @cached_property
    def _has_system(self) -> bool:
        """Whether the template accepts a system message."""
        return self._try("system", "user") is not None

    def _try(self, *roles: str) -> str | None:
        try:
            return self._render([Message(role, "x") for role in roles], ())
        except InvalidFieldError:
            return None

    def render(self, messages: Messages, tools: Sequence[Tool] = ()) -> list[str]:
        """Renders the chat, and returns it split inside each control token's text that a message contains.

        The parts are to be tokenized separately, with control tokens parsed; so the split texts stay plain text. A chat
        that ends with an assistant message has no generation prompt and no end of turn: the model continues it.

        Raises:
            InvalidFieldError: The template rejects the messages or fails on them.
        """
        cut = f"\ufdd0{secrets.token_hex(8)}\ufdd0"
        if self.tool_format is ToolFormat.GENERIC:
            messages, tools = explained(messages, tools, has_system=self._has_system), ()

        def defuse(text: str) -> str:
            return self._defuse(text, cut)

        safe = [_each_text(message, defuse) for message in messages]
        return _without_surrogates(self._render(safe, [_each_tool_text(tool, defuse) for tool in tools])).split(cut)

    def _render(self, messages: Messages, tools: Sequence[Tool]) -> str:
        continues = messages[-1].role == "assistant"
        if self._template is None:
            return _as_lines(messages, continues=continues)
        text = self._fill(messages, tools, add_generation_prompt=not continues)
        return _up_to_last_content(text, messages[-1].content) if continues else text

    def _fill(self, messages: Messages, tools: Sequence[Tool], *, add_generation_prompt: bool) -> str:
        assert self._template is not None
        variables = {
            "messages": [_as_json(message) for message in messages],
            "add_generation_prompt": add_generation_prompt,
            **({"tools": [as_json(tool) for tool in tools]} if tools else {}),
            **self._tokens,
        }
        text, problem = self._template.ask(variables) or ("", "takes too long, or too much memory, to render them")
        if problem and (simpler := [without_null(tool) for tool in tools]) != [*tools]:
            return self._fill(messages, simpler, add_generation_prompt=add_generation_prompt)
        if problem:
            raise InvalidFieldError("messages", f"the model's chat template {problem}")
        return str(text)

    def _defuse(self, content: str, cut: str) -> str:
        """Inserts `cut` after the first character of each control token's text.

        Also inserts it after a suffix that starts a control token's text, which the template might complete.
        """
        if self._controls is None:
            return content
        content = self._controls.sub(lambda found: found[0][0] + cut + found[0][1:], content)
        stripped = content.rstrip()
        if self._ends_like_control(stripped):
            content = stripped + cut + content[len(stripped) :]
        return content

    def _ends_like_control(self, text: str) -> bool:
        return any(text[-size:] in self._control_starts for size in range(1, min(len(text), self._longest_start) + 1))


def _as_json(message: Message) -> dict[str, object]:
    """Returns the message in OpenAI's format, as templates expect it, but with a call's arguments as an object."""
    given: dict[str, object] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        given["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.loads(call.arguments)},
            }
            for call in message.tool_calls
        ]
    optional = {"tool_call_id": message.tool_call_id, "name": message.name}
    return given | {name: value for name, value in optional.items() if value is not None}


def _each_text(message: Message, change: Callable[[str], str]) -> Message:
    """Applies `change` to all untrusted texts of the message: content, tool calls, call id and name."""
    calls = tuple(
        replace(call, id=change(call.id), name=change(call.name), arguments=_each_json_text(call.arguments, change))
        for call in message.tool_calls
    )
    call_id, name = (value if value is None else change(value) for value in (message.tool_call_id, message.name))
    return Message(message.role, change(message.content), calls, call_id, name)


def _each_tool_text(tool: Tool, change: Callable[[str], str]) -> Tool:
    return replace(tool, description=change(tool.description), parameters=_each_json_text(tool.parameters, change))


def _each_json_text(text: str, change: Callable[[str], str]) -> str:
    def walk(value: object) -> object:
        if isinstance(value, str):
            return change(value)
        if isinstance(value, dict):
            return {change(key): walk(inner) for key, inner in value.items()}
        return [walk(inner) for inner in value] if isinstance(value, list) else value

    return json.dumps(walk(json.loads(text)), ensure_ascii=False)


def _any_of(texts: Sequence[str]) -> re.Pattern[str] | None:
    longer = sorted((text for text in texts if len(text) > 1), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longer))) if longer else None


def _compiled(source: str) -> LimitedChild:
    """Returns the process that renders a template. Raises ModelFailedError if the source is not a valid template."""
    child = LimitedChild(template_process.__name__, source)
    problem = child.started()
    if problem is None:
        raise ModelFailedError("the model's chat template takes too long, or too much memory, to compile")
    if problem:
        raise ModelFailedError(f"the model's chat template is not valid: {problem}")
    return child


def _without_surrogates(text: str) -> str:
    """Returns the text. Raises InvalidFieldError if it has lone surrogates, which JSON can escape, but no text has."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidFieldError("messages", f"they have a lone surrogate ({error})") from error
    return text


def _as_lines(messages: Messages, *, continues: bool) -> str:
    text = "\n".join(f"{message.role}: {message.content}" for message in messages)
    return text if continues else text + "\nassistant: "


def _up_to_last_content(text: str, content: str) -> str:
    """Truncates the text after the last message's content, so that the model continues it.

    Raises InvalidFieldError if the template does not reproduce the content.
    """
    at = text.rfind(content.strip())
    if at < 0:
        raise InvalidFieldError(
            "messages", "the model's chat template changes the last message, so it cannot be continued"
        )
    return text[: at + len(content.strip())]
