"""The messages of a chat."""

from collections.abc import Sequence
from dataclasses import dataclass

from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.tools import ToolCall

MAX_MESSAGES = 1024
ROLES = ("system", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat."""

    role: str
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    """In a tool's result: the call's id."""
    name: str | None = None

    @property
    def size(self) -> int:
        """Bytes of all its texts."""
        calls = (text for call in self.tool_calls for text in (call.id, call.name, call.arguments))
        texts = (self.role, self.content, self.tool_call_id or "", self.name or "", *calls)
        return sum(len(text.encode()) for text in texts)


def checked_messages(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Returns the messages. Raises InvalidFieldError where they are no chat that a model can answer."""
    if not 1 <= len(messages) <= MAX_MESSAGES:
        raise InvalidFieldError("messages", f"there must be 1 to {MAX_MESSAGES} messages, not {len(messages)}")
    for index, message in enumerate(messages):
        _check(f"messages[{index}]", message)
    if messages[-1].tool_calls:
        raise InvalidFieldError("messages", "the last one calls tools; their results must follow it")
    return tuple(messages)


def _check(field: str, message: Message) -> None:
    if message.role not in ROLES:
        raise InvalidFieldError(f"{field}.role", f"must be one of {', '.join(ROLES)}, not {message.role[:50]!r}")
    if not message.content and message.role == "user":
        raise InvalidFieldError(f"{field}.content", "is missing or empty")
    if message.tool_calls and message.role != "assistant":
        raise InvalidFieldError(f"{field}.tool_calls", "only the assistant calls tools")
    if bool(message.tool_call_id) != (message.role == "tool"):
        raise InvalidFieldError(f"{field}.tool_call_id", "belongs to messages of the role tool, and to each of them")
    for index, call in enumerate(message.tool_calls):
        call.check(f"{field}.tool_calls[{index}]")
