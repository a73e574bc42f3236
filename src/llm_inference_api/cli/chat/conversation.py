"""A conversation and what its answers are asked with; kept in a file on request."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llm_inference_api.cli.chat.parameters import ChatError, checked

ROLES = ("user", "assistant")


@dataclass
class Conversation:
    """What was said, oldest first, and what the next answer is asked with."""

    model: str = ""
    system: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    """Fields of the request, such as `temperature`; the service's defaults for others."""
    turns: list[tuple[str, str]] = field(default_factory=list)
    """Role and content, without the system prompt."""
    file: Path | None = None
    """Where the conversation was last saved to or loaded from."""

    @property
    def messages(self) -> list[tuple[str, str]]:
        """Role and content of what is sent."""
        return [("system", self.system), *self.turns] if self.system else list(self.turns)

    @property
    def request(self) -> dict[str, Any]:
        """The request's fields beside the messages."""
        return {"model": self.model, **self.parameters} if self.model else dict(self.parameters)

    def save(self, path: Path) -> None:
        """Writes the conversation as JSON, for this user only.

        Raises:
            ChatError: The file cannot be written, or is not this conversation's.
        """
        messages = [{"role": role, "content": content} for role, content in self.messages]
        document = {"model": self.model, "parameters": self.parameters, "messages": messages}
        is_own = self.file is not None and self.file.absolute() == path.absolute()
        flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if is_own else os.O_EXCL)
        try:
            with os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8") as file:
                json.dump(document, file, ensure_ascii=False, indent=2)
        except FileExistsError:
            raise ChatError(f"{path} exists already; give another name") from None
        except (OSError, ValueError) as error:
            raise ChatError(f"{path} cannot be written: {_why(error)}") from error
        self.file = path


def load(path: Path) -> Conversation:
    """Returns the conversation of a file that `Conversation.save` has written.

    Raises:
        ChatError: The file cannot be read, or holds something else.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ChatError(f"{path} cannot be read: {_why(error)}") from error
    if not isinstance(document, dict) or not isinstance(document.get("messages"), list):
        raise ChatError(f"{path} is no saved conversation: it has no list `messages`")
    model, parameters = document.get("model", ""), document.get("parameters", {})
    if not isinstance(model, str) or not isinstance(parameters, dict):
        raise ChatError(f"{path}: `model` must be a text and `parameters` an object")
    turns = [_turn(path, index, message) for index, message in enumerate(document["messages"])]
    system = turns.pop(0)[1] if turns and turns[0][0] == "system" else ""
    if wrong := next((role for role, _ in turns if role not in ROLES), None):
        raise ChatError(f"{path}: the role {wrong!r} cannot be continued here; {' and '.join(ROLES)} can")
    return Conversation(model, system, checked(parameters), turns, path)


def _turn(path: Path, index: int, message: object) -> tuple[str, str]:
    match message:
        case {"role": str(role), "content": str(content)}:
            return role, content
    raise ChatError(f"{path}: messages[{index}] needs the texts `role` and `content`")


def _why(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
