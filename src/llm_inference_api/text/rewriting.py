"""Ways in which a template can be given a chat: as it is, or rewritten so that the template keeps all its texts.

Templates refuse, or leave out, what their model was not trained on: a system message, a late one, roles that do not
alternate, several calls of one message. The first way that a template renders with all texts is taken.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from enum import Enum
from itertools import groupby, product
from typing import NamedTuple

from llm_inference_api.requests.chat import Message
from llm_inference_api.text.families import form
from llm_inference_api.text.families.tool_messages import with_written_calls, with_written_result


class CallRewriting(Enum):
    """What becomes of tool calls and their results."""

    AS_GIVEN = "as given"
    ONE_EACH = "one each"
    """Each call is a message of its own, followed by its result; text beside calls stands before them."""
    IN_WORDS = "in words"
    """Calls and results are text."""


class System(Enum):
    """What becomes of system messages."""

    AS_GIVEN = "as given"
    FIRST = "first"
    """They become one, at the start."""
    USER = "user"
    """They stand at the start of the first user message."""


class Rewriting(NamedTuple):
    """A way to rewrite messages."""

    calls: CallRewriting = CallRewriting.AS_GIVEN
    merged: bool = False
    """Whether successive messages of the user, and of the assistant, become one, and an empty one of the user stands
    before an assistant's that begins the chat."""
    system: System = System.AS_GIVEN
    reasoned: bool = True
    """Whether the reasoning of earlier answers is kept."""

    def of(self, messages: Sequence[Message], calls: form.CallForm) -> list[Message]:
        """Returns the messages rewritten this way. `calls` is how the model writes calls."""
        found = [*messages] if self.reasoned else [replace(message, reasoning="") for message in messages]
        match self.calls:
            case CallRewriting.ONE_EACH:
                found = _one_call_each(found)
            case CallRewriting.IN_WORDS:
                found = [with_written_result(with_written_calls(message, calls)) for message in found]
        if self.system is not System.AS_GIVEN:
            found = _with_one_system(found, to_user=self.system is System.USER)
        return _merged(found) if self.merged else found


def rewritings() -> Iterator[Rewriting]:
    """Yields all ways, the least rewritten first. A system message stays one where merging other messages helps."""
    for reasoned, calls, systems, merged in product((True, False), CallRewriting, _SYSTEMS, (False, True)):
        for system in systems:
            yield Rewriting(calls, merged, system, reasoned)


_SYSTEMS = ((System.AS_GIVEN, System.FIRST), (System.USER,))


def joined(*texts: str) -> str:
    """Returns the texts that are not empty, with blank lines between them."""
    return "\n\n".join(text for text in texts if text)


def _one_call_each(messages: Sequence[Message]) -> list[Message]:
    found: list[Message] = []
    results = {message.tool_call_id: message for message in messages if message.role == "tool"}
    placed = {call.id for message in messages for call in message.tool_calls if call.id in results}
    for message in messages:
        if not message.tool_calls:
            found += [] if message.role == "tool" and message.tool_call_id in placed else [message]
            continue
        if message.content:
            found.append(replace(message, tool_calls=()))
        calls = [Message("assistant", "", (call,), name=message.name) for call in message.tool_calls]
        if not message.content:
            calls[0] = replace(calls[0], reasoning=message.reasoning)
        for call in calls:
            found.append(call)
            result = results.pop(call.tool_calls[0].id, None)
            found += [result] if result else []
    return found


def _with_one_system(messages: Sequence[Message], *, to_user: bool) -> list[Message]:
    text = joined(*(message.content for message in messages if message.role == "system"))
    others = [message for message in messages if message.role != "system"]
    if not text:
        return others or [*messages]
    if not to_user:
        return [Message("system", text), *others]
    if others and others[0].role == "user":
        return [replace(others[0], content=joined(text, others[0].content)), *others[1:]]
    return [Message("user", text), *others]


def _merged(messages: Sequence[Message]) -> list[Message]:
    found: list[Message] = []
    for role, group in groupby(messages, lambda message: message.role):
        same = [*group]
        found += [_one_of(same)] if role in ("user", "assistant") and len(same) > 1 else same
    first = next((at for at, message in enumerate(found) if message.role != "system"), len(found))
    if first < len(found) and found[first].role == "assistant":
        found.insert(first, Message("user", ""))
    return found


def _one_of(messages: Sequence[Message]) -> Message:
    names = {message.name for message in messages}
    return Message(
        messages[0].role,
        joined(*(message.content for message in messages)),
        tuple(call for message in messages for call in message.tool_calls),
        name=names.pop() if len(names) == 1 else None,
        reasoning=joined(*(message.reasoning for message in messages)),
    )
