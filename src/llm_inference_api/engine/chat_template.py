"""Renders a chat with the model's own template, and keeps what people say from being taken for structure.

A template is code from the model file: it runs in Jinja's immutable sandbox.
"""

import json
import re
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from jinja2 import TemplateError
from jinja2.exceptions import SecurityError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from llm_inference_api.engine.request import Message
from llm_inference_api.errors import InvalidFieldError, ModelFailedError

Messages = Sequence[Message]


class TemplateRefusalError(Exception):
    """What a template says with `raise_exception`, for example of the order of roles."""


class ChatTemplate:
    """The template of one model."""

    def __init__(self, source: str | None, bos: str, eos: str, control_texts: Sequence[str]) -> None:
        """Takes None for a model without a template; its chats become `role: content` lines.

        Raises ModelFailedError where the source is no valid template.
        """
        self.is_own = source is not None
        """Whether the model brought the template."""
        self._tokens = {"bos_token": bos, "eos_token": eos}
        self._controls = _any_of(control_texts)
        self._control_starts = {text[:size] for text in control_texts for size in range(1, len(text))}
        self._longest_start = max(map(len, self._control_starts), default=0)
        try:
            self._template = _environment().from_string(source) if source is not None else None
        except TemplateError as error:
            raise ModelFailedError(f"the model's chat template is not valid: {error}") from error

    def begins_with_control(self, text: str) -> bool:
        """Returns whether the text begins with the text of a control token."""
        return self._controls is not None and self._controls.match(text) is not None

    def render(self, messages: Messages) -> list[str]:
        """Returns the chat as text, cut wherever a text of a control token inside a message must stay text.

        Each part is to be tokenised by itself, with control tokens parsed. A chat that ends with the assistant's
        message is left open there, so that the model continues it. Raises InvalidFieldError where the template refuses
        the messages.
        """
        cut = f"\ufdd0{secrets.token_hex(8)}\ufdd0"
        safe = [Message(message.role, self._defuse(message.content, cut)) for message in messages]
        return self._render(safe).split(cut)

    def _render(self, messages: Messages) -> str:
        continues = messages[-1].role == "assistant"
        if self._template is None:
            return _as_lines(messages, continues=continues)
        text = self._fill(messages, add_generation_prompt=not continues)
        return _up_to_last_content(text, messages[-1].content) if continues else text

    def _fill(self, messages: Messages, *, add_generation_prompt: bool) -> str:
        assert self._template is not None
        conversation = [{"role": message.role, "content": message.content} for message in messages]
        try:
            return self._template.render(
                messages=conversation, add_generation_prompt=add_generation_prompt, **self._tokens
            )
        except TemplateRefusalError as refusal:
            raise InvalidFieldError("messages", f"the model's chat template refuses them: {refusal}") from refusal
        except (TemplateError, SecurityError, TypeError, ValueError, ArithmeticError, LookupError) as error:
            raise InvalidFieldError("messages", f"the model's chat template fails on them: {error}") from error

    def _defuse(self, content: str, cut: str) -> str:
        """Cuts every control token's text in the content in two, also one that only the next message would complete."""
        if self._controls is None:
            return content
        content = self._controls.sub(lambda found: found[0][0] + cut + found[0][1:], content)
        stripped = content.rstrip()
        if self._ends_like_control(stripped):
            content = stripped + cut + content[len(stripped) :]
        return content

    def _ends_like_control(self, text: str) -> bool:
        return any(text[-size:] in self._control_starts for size in range(1, min(len(text), self._longest_start) + 1))


def _any_of(texts: Sequence[str]) -> re.Pattern[str] | None:
    longer = sorted((text for text in texts if len(text) > 1), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longer))) if longer else None


def _as_lines(messages: Messages, *, continues: bool) -> str:
    text = "\n".join(f"{message.role}: {message.content}" for message in messages)
    return text if continues else text + "\nassistant: "


def _up_to_last_content(text: str, content: str) -> str:
    """Drops what the template puts after the last message, which the model is to continue."""
    at = text.rfind(content.strip())
    if at < 0:
        raise InvalidFieldError(
            "messages", "the model's chat template changes the last message, so none can continue it"
        )
    return text[: at + len(content.strip())]


def _environment() -> ImmutableSandboxedEnvironment:
    """Returns what templates of Hugging Face's collection expect (transformers, utils/chat_template_utils.py)."""
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = lambda form: datetime.now().astimezone().strftime(form)
    return environment


def _to_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _raise(message: str) -> str:
    raise TemplateRefusalError(message)
