"""Chat messages and their validation."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.sizes import check_count, check_size
from llm_inference_api.requests.tools import MAX_CALLS, ToolCall

MAX_MESSAGES = 1024
ROLES = ("system", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat."""

    role: str
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    """Id of the tool call that a message of the role tool answers."""
    name: str | None = None

    @property
    def size(self) -> int:
        """Size of all texts of the message, in bytes of UTF-8."""
        calls = (text for call in self.tool_calls for text in (call.id, call.name, call.arguments))
        texts = (self.role, self.content, self.tool_call_id or "", self.name or "", *calls)
        return sum(len(text.encode()) for text in texts)


def check_message_count(count: int) -> None:
    """Raises InvalidFieldError if there are no or too many messages."""
    if not 1 <= count <= MAX_MESSAGES:
        raise InvalidFieldError("messages", f"there must be 1 to {MAX_MESSAGES} messages, not {count}")


def check_call_counts(counts: Iterable[int]) -> None:
    """Raises InvalidFieldError if the messages, with these numbers of tool calls each, have too many together."""
    total = 0
    for index, count in enumerate(counts):
        total += count
        check_count(f"messages[{index}].tool_calls", total, MAX_CALLS, "tool calls, with those before it")


def checked_messages(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Validates the messages of a request, sizes first, and returns them. Raises InvalidFieldError."""
    check_message_count(len(messages))
    check_call_counts(len(message.tool_calls) for message in messages)
    check_size("messages", sum(message.size for message in messages))
    for index, message in enumerate(messages):
        _check(f"messages[{index}]", message)
    if messages[-1].tool_calls:
        raise InvalidFieldError("messages", "the last message has tool calls; add their results")
    return tuple(messages)


def _check(field: str, message: Message) -> None:
    if message.role not in ROLES:
        raise InvalidFieldError(f"{field}.role", f"must be one of {', '.join(ROLES)}, not {message.role[:50]!r}")
    if not message.content and message.role == "user":
        raise InvalidFieldError(f"{field}.content", "is missing or empty")
    if message.tool_calls and message.role != "assistant":
        raise InvalidFieldError(f"{field}.tool_calls", "is allowed for the role assistant only")
    if bool(message.tool_call_id) != (message.role == "tool"):
        raise InvalidFieldError(f"{field}.tool_call_id", "is required for the role tool, and allowed for no other")
    for index, call in enumerate(message.tool_calls):
        call.check(f"{field}.tool_calls[{index}]")
