"""Converts items into the messages of a chat."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from llm_inference_api.api.openai.responses.items import CallItem, CallOutputItem, Item, MessageItem, ReasoningItem
from llm_inference_api.api.openai.responses.tools import CallName
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.chat import Message
from llm_inference_api.requests.tools import ToolCall, complete_arguments


class Placed(NamedTuple):
    """An item of a conversation."""

    place: str
    """Name of the request's field that has it, for errors."""
    item: Item


class PlacedMessage(NamedTuple):
    """A message, and the field that its first item comes from."""

    place: str
    message: Message


@dataclass(slots=True)
class _Turn:
    """What the assistant says at once: thoughts, then a text, then calls."""

    place: str
    thoughts: list[str] = field(default_factory=list)
    text: str | None = None
    calls: list[ToolCall] = field(default_factory=list)

    @property
    def has_spoken(self) -> bool:
        """Whether there is more than thoughts, so that neither thoughts nor a text can follow."""
        return self.text is not None or bool(self.calls)

    def placed(self) -> PlacedMessage:
        """Returns the turn as one message."""
        message = Message("assistant", self.text or "", tuple(self.calls), reasoning="\n".join(self.thoughts))
        return PlacedMessage(self.place, message)


def messages_of(items: Iterable[Placed]) -> Iterator[PlacedMessage]:
    """Yields the messages that the items are.

    Raises:
        InvalidFieldError: Arguments of a call are no JSON object, or an output belongs to no call before it.
    """
    turn: _Turn | None = None
    called: set[str] = set()
    for place, item in items:
        if isinstance(item, CallItem):
            called.add(item.call_id)
        if (said := _said(place, item)) is not None:
            if turn is not None and turn.has_spoken and not said.calls:
                yield turn.placed()
                turn = None
            turn = _joined(turn, said)
            continue
        if turn is not None:
            yield turn.placed()
            turn = None
        yield PlacedMessage(place, _others(place, item, called))
    if turn is not None:
        yield turn.placed()


def _said(place: str, item: Item) -> _Turn | None:
    """Returns what the assistant says by an item; None for an item that is not the assistant's."""
    match item:
        case ReasoningItem():
            return _Turn(place, [item.thoughts])
        case CallItem():
            name = CallName(item.name, item.namespace).full
            call = ToolCall(item.call_id, name, complete_arguments(item.arguments))
            call.check(place)
            return _Turn(place, calls=[call])
        case MessageItem(role="assistant"):
            return _Turn(place, text=item.content)
        case _:
            return None


def _joined(turn: _Turn | None, said: _Turn) -> _Turn:
    if turn is None:
        return said
    text = turn.text if said.text is None else said.text
    return _Turn(turn.place, turn.thoughts + said.thoughts, text, turn.calls + said.calls)


def _others(place: str, item: Item, called: set[str]) -> Message:
    """Returns the message of an item that is not the assistant's."""
    if isinstance(item, CallOutputItem):
        if item.call_id not in called:
            raise InvalidFieldError(f"{place}.call_id", "is of no function_call before it")
        return Message("tool", item.output, tool_call_id=item.call_id)
    assert isinstance(item, MessageItem)
    # OpenAI's newer models have the role developer; chat templates know it as system.
    return Message("system" if item.role == "developer" else item.role, item.content)
