"""Items of a response's output while they are written, each with the events that say so."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping

from llm_inference_api.api.bodies import Json
from llm_inference_api.api.openai.responses.document import (
    COMPLETED,
    IN_PROGRESS,
    text_part,
    thought_part,
    token_logprobs,
)
from llm_inference_api.api.openai.responses.ids import item_id
from llm_inference_api.api.openai.responses.tools import CallName
from llm_inference_api.requests.events import CallPart, Piece, Text, Thought, TokenLogprob
from llm_inference_api.rpc.off_loop import LOGPROB_BYTES


class OutputItem(ABC):
    """An item that grows by the events of a generation. Events lack their sequence numbers."""

    kind: str
    """Type of the item."""

    def __init__(self, index: int) -> None:
        """Begins the item with this index in the output."""
        self._index = index
        self._id = item_id(self.kind)
        self.size = 0
        """About how many bytes the item has."""

    @abstractmethod
    def takes(self, event: Piece) -> bool:
        """Returns whether the event belongs to this item."""

    @abstractmethod
    def add(self, event: Piece) -> Iterator[Json]:
        """Yields the events that say what an event adds."""

    @abstractmethod
    def item(self, status: str) -> Json:
        """Returns the item as far as it goes."""

    @abstractmethod
    def _begun(self) -> Iterator[Json]:
        """Yields what follows the item's own beginning."""

    @abstractmethod
    def _ended(self) -> Iterator[Json]:
        """Yields what comes before the item's own end."""

    def begin(self) -> Iterator[Json]:
        """Yields the events that begin the item."""
        yield {"type": "response.output_item.added", "output_index": self._index, "item": self._new()}
        yield from self._begun()

    def end(self, status: str = COMPLETED) -> Iterator[Json]:
        """Yields the events that end the item."""
        yield from self._ended()
        yield {"type": "response.output_item.done", "output_index": self._index, "item": self.item(status)}

    def _new(self) -> Json:
        return {**self.item(IN_PROGRESS), "content": []}

    def _at(self, kind: str, **fields: object) -> Json:
        return {"type": f"response.{kind}", "item_id": self._id, "output_index": self._index, **fields}

    def _part(self, kind: str, **fields: object) -> Json:
        """Returns an event about the item's only part."""
        return self._at(kind, content_index=0, **fields)


class MessageOutput(OutputItem):
    """A message with the answer's text."""

    kind = "message"

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self._texts: list[str] = []
        self._logprobs: list[TokenLogprob] = []

    def takes(self, event: Piece) -> bool:
        """Returns whether it is text."""
        return isinstance(event, Text)

    def add(self, event: Piece) -> Iterator[Json]:
        """Yields the text."""
        assert isinstance(event, Text)
        self._texts.append(event.text)
        self._logprobs += event.logprobs
        self.size += len(event.text) + sum(1 + len(entry.top_logprobs) for entry in event.logprobs) * LOGPROB_BYTES
        yield self._part("output_text.delta", delta=event.text, logprobs=_without_bytes(event.logprobs))

    def item(self, status: str) -> Json:
        """Returns the message."""
        part = text_part("".join(self._texts), self._logprobs)
        return {"id": self._id, "type": self.kind, "status": status, "role": "assistant", "content": [part]}

    def _begun(self) -> Iterator[Json]:
        yield self._part("content_part.added", part=text_part("", ()))

    def _ended(self) -> Iterator[Json]:
        text = "".join(self._texts)
        yield self._part("output_text.done", text=text, logprobs=_without_bytes(self._logprobs))
        yield self._part("content_part.done", part=text_part(text, self._logprobs))


class ReasoningOutput(OutputItem):
    """Thoughts. There is no summary of them."""

    kind = "reasoning"

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self._texts: list[str] = []

    def takes(self, event: Piece) -> bool:
        """Returns whether it is a thought."""
        return isinstance(event, Thought)

    def add(self, event: Piece) -> Iterator[Json]:
        """Yields the thought."""
        assert isinstance(event, Thought)
        self._texts.append(event.text)
        self.size += len(event.text)
        yield self._part("reasoning_text.delta", delta=event.text)

    def item(self, status: str) -> Json:
        """Returns the item of thoughts."""
        content = [thought_part("".join(self._texts))]
        return {"id": self._id, "type": self.kind, "status": status, "summary": [], "content": content}

    def _begun(self) -> Iterator[Json]:
        yield self._part("content_part.added", part=thought_part(""))

    def _ended(self) -> Iterator[Json]:
        text = "".join(self._texts)
        yield self._part("reasoning_text.done", text=text)
        yield self._part("content_part.done", part=thought_part(text))


class CallOutput(OutputItem):
    """A call of a function."""

    kind = "function_call"

    def __init__(self, index: int, first: CallPart, called: CallName) -> None:
        super().__init__(index)
        self._first = first
        self._called = {"name": called.name, **({"namespace": called.namespace} if called.namespace else {})}
        self._arguments: list[str] = []

    def takes(self, event: Piece) -> bool:
        """Returns whether it is of the same call."""
        return isinstance(event, CallPart) and event.call == self._first.call

    def add(self, event: Piece) -> Iterator[Json]:
        """Yields the arguments' next part."""
        assert isinstance(event, CallPart)
        if event.arguments:
            self._arguments.append(event.arguments)
            self.size += len(event.arguments)
            yield self._at("function_call_arguments.delta", delta=event.arguments)

    def item(self, status: str) -> Json:
        """Returns the call."""
        call = {"call_id": self._first.id, **self._called, "arguments": "".join(self._arguments)}
        return {"id": self._id, "type": self.kind, "status": status, **call}

    def _new(self) -> Json:
        return self.item(IN_PROGRESS)

    def _begun(self) -> Iterator[Json]:
        yield from ()

    def _ended(self) -> Iterator[Json]:
        arguments = "".join(self._arguments)
        yield self._at("function_call_arguments.done", arguments=arguments)


def new_output(index: int, event: Piece, calls: Mapping[str, CallName]) -> OutputItem:
    """Returns the item that an event begins; `calls` has what calls say that they call."""
    match event:
        case Text():
            return MessageOutput(index)
        case Thought():
            return ReasoningOutput(index)
        case CallPart():
            return CallOutput(index, event, calls.get(event.name, CallName(event.name)))


def _without_bytes(logprobs: tuple[TokenLogprob, ...] | list[TokenLogprob]) -> list[Json]:
    """Returns the log probabilities as events have them."""
    return [
        {**_short(entry), "top_logprobs": [*map(_short, entry["top_logprobs"])]} for entry in token_logprobs(logprobs)
    ]


def _short(entry: Json) -> Json:
    return {"token": entry["token"], "logprob": entry["logprob"]}
