"""What a parser of an answer does, and the one that takes all text for content."""

from typing import NamedTuple, Protocol

from llm_inference_api.requests.events import CallPart, Piece, Text


class Markup(NamedTuple):
    """Characters of the answer that belong to no piece: markers, line breaks beside them, separators of calls."""

    size: int


Part = Piece | Markup


class Reader(Protocol):
    """Incremental parser of one answer. The arguments of a tool call are streamed as parts after its name.

    The parts divide the answer: in order, the lengths of their texts (of a call part: of its arguments) and the sizes
    of the markup add up to the text that was read so far.
    """

    def add(self, text: str, *, final: bool) -> list[Part]:
        """Adds text and returns the parts that are complete; with `final`, flushes all held text."""


class PlainReader:
    """Reads all text as content."""

    def add(self, text: str, *, final: bool) -> list[Part]:  # noqa: ARG002 - nothing is ever held back
        """See `Reader.add`."""
        return [Text(text)] if text else []


def size_of(part: Part) -> int:
    """Returns the number of the answer's characters that the part stands for."""
    match part:
        case Markup(size):
            return size
        case CallPart():
            return len(part.arguments)
        case _:
            return len(part.text)
