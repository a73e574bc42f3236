"""Chat messages and their validation."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

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
    reasoning: str = ""
    """The assistant's thoughts before its content."""

    @property
    def size(self) -> int:
        """Size of all texts of the message, in bytes of UTF-8."""
        calls = (text for call in self.tool_calls for text in (call.id, call.name, call.arguments))
        texts = (self.role, self.content, self.reasoning, self.tool_call_id or "", self.name or "", *calls)
        return sum(len(text.encode()) for text in texts)


class Ending(Enum):
    """How the prompt of a chat ends."""

    ANSWER = "answer"
    """The assistant's next message begins."""
    CONTINUE = "continue"
    """The last message, which is the assistant's, goes on."""
    CLOSED = "closed"
    """The last message is complete, and no other begins."""


def ending(messages: Sequence[Message], *, continues: bool | None, begins: bool | None) -> Ending:
    """Returns how the prompt of a chat ends.

    Args:
        messages: The chat, of one message at least.
        continues: `continue_final_message` of the request. None: the last message is continued if it is the
            assistant's, unless `begins` is set.
        begins: `add_generation_prompt` of the request. None: True, unless the last message is continued.

    Raises:
        InvalidFieldError: Both are true, or the message to continue is not the assistant's.
    """
    is_assistants = messages[-1].role == "assistant"
    if continues and begins:
        problem = "cannot be combined with add_generation_prompt: an answer is a new message or the last one's rest"
        raise InvalidFieldError("continue_final_message", problem)
    if continues and not is_assistants:
        problem = f"needs a last message of the role assistant, not {messages[-1].role}"
        raise InvalidFieldError("continue_final_message", problem)
    if continues or (continues is None and begins is None and is_assistants):
        return Ending.CONTINUE
    return Ending.CLOSED if begins is False else Ending.ANSWER


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
    if message.reasoning and message.role != "assistant":
        raise InvalidFieldError(f"{field}.reasoning_content", "is allowed for the role assistant only")
    if message.tool_calls and message.role != "assistant":
        raise InvalidFieldError(f"{field}.tool_calls", "is allowed for the role assistant only")
    if bool(message.tool_call_id) != (message.role == "tool"):
        raise InvalidFieldError(f"{field}.tool_call_id", "is required for the role tool, and allowed for no other")
    for index, call in enumerate(message.tool_calls):
        call.check(f"{field}.tool_calls[{index}]")
