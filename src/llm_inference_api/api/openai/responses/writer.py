"""Writes one generation as a response object, or as the events of a stream."""

from collections.abc import Callable, Iterator, Mapping

from llm_inference_api.api.bodies import Json, document
from llm_inference_api.api.openai.responses.document import COMPLETED, INCOMPLETE, ResponseDocument, write_large
from llm_inference_api.api.openai.responses.errors import response_error
from llm_inference_api.api.openai.responses.output import OutputItem, new_output
from llm_inference_api.api.openai.responses.tools import CallName
from llm_inference_api.api.openai.writers import SILENCE
from llm_inference_api.generation.answers import Answer
from llm_inference_api.requests.events import (
    CallPart,
    End,
    Event,
    FinishReason,
    Piece,
    Progress,
    Stage,
    Text,
    Thought,
    Usage,
)

_REPEATS = 4
"""Events that have the whole text of an item, at its end."""


class ResponseWriter:
    """Writes the answer of one generation."""

    def __init__(self, response: ResponseDocument, calls: Mapping[str, CallName], size: int) -> None:
        """Creates the writer.

        Args:
            response: Writes the response object.
            calls: What calls say that they call, by the name that the model has for it.
            size: About how many bytes of the request its response repeats.
        """
        self._response = response
        self._calls = calls
        self._asked = size
        self._is_begun = False
        self._open: OutputItem | None = None
        self._output: list[Json] = []
        self._written = 0
        """About how many bytes the items have that have ended."""
        self._events = 0
        self.ended: Json | None = None
        """The response object, once the generation has ended."""

    def whole(self, answers: list[Answer], usage: Usage) -> bytes:
        """Returns the response object for the answer."""
        (answer,) = answers
        for event in _events_of(answer, usage):
            for _ in self._said(event):
                pass
        assert self.ended is not None
        return write_large(self.ended)

    def size(self, event: Event) -> int:
        """Returns about how many bytes `part` has to write: what begins or ends repeats much, the rest is short."""
        is_more = self._open is not None and not isinstance(event, End | Progress) and self._open.takes(event)
        if is_more or (isinstance(event, Progress) and self._is_begun):
            return 0
        return self._asked + _REPEATS * (self._written + (self._open.size if self._open else 0))

    def part(self, event: Event) -> bytes:
        """Returns the server-sent events that say what an event adds."""
        if isinstance(event, Progress) and event.stage is not Stage.PREFILL:
            return SILENCE
        write = write_large if self.size(event) else document
        return b"".join(self._numbered(said, write) for said in self._said(event)) or SILENCE

    def failed(self, error: Exception) -> bytes:
        """Returns the events that end a stream with an error."""
        code, message = response_error(error)
        response = self._response.failed(self._output, code, message)
        said = (*self._begin(), {"type": "response.failed", "response": response})
        return b"".join(self._numbered(event, write_large) for event in said)

    def _numbered(self, event: Json, write: Callable[[Json], bytes]) -> bytes:
        numbered = {**event, "sequence_number": self._events}
        self._events += 1
        return b"event: " + str(event["type"]).encode() + b"\ndata: " + write(numbered) + b"\n\n"

    def _begin(self) -> Iterator[Json]:
        if not self._is_begun:
            self._is_begun = True
            for state in ("created", "in_progress"):
                yield {"type": f"response.{state}", "response": self._response.begun()}

    def _said(self, event: Event) -> Iterator[Json]:
        yield from self._begin()
        match event:
            case Progress():
                return
            case End():
                yield from self._end(event)
            case Text("", _, ()):
                return
            case _:
                yield from self._add(event)

    def _add(self, event: Piece) -> Iterator[Json]:
        if self._open is None or not self._open.takes(event):
            yield from self._close(COMPLETED)
            self._open = new_output(len(self._output), event, self._calls)
            yield from self._open.begin()
        yield from self._open.add(event)

    def _close(self, status: str) -> Iterator[Json]:
        if self._open is not None:
            yield from self._open.end(status)
            self._output.append(self._open.item(status))
            self._written += self._open.size
            self._open = None

    def _end(self, end: End) -> Iterator[Json]:
        assert end.usage is not None
        status = INCOMPLETE if end.reason is FinishReason.LENGTH else COMPLETED
        if self._open is None and not self._output:
            self._open = new_output(0, Text(""), self._calls)
            yield from self._open.begin()
        yield from self._close(status)
        self.ended = self._response.ended(status, self._output, end.usage, end.ignored)
        yield {"type": f"response.{status}", "response": self.ended}


def _events_of(answer: Answer, usage: Usage) -> Iterator[Piece | End]:
    """Yields events that the answer could have come in."""
    if answer.thoughts:
        yield Thought(answer.thoughts)
    if answer.text:
        yield Text(answer.text, logprobs=tuple(answer.logprobs))
    for index, call in enumerate(answer.calls):
        yield CallPart(index, call.id, call.name, call.arguments)
    assert answer.reason is not None
    yield End(answer.reason, usage=usage, ignored=answer.ignored)
