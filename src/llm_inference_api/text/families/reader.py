"""What a parser of an answer does, and the one that takes all text for content."""

from typing import Protocol

from llm_inference_api.requests.events import Piece, Text


class Reader(Protocol):
    """Incremental parser of one answer. The arguments of a tool call are streamed as parts after its name."""

    def add(self, text: str, *, final: bool) -> list[Piece]:
        """Adds text and returns the pieces that are complete; with `final`, flushes all held text."""


class PlainReader:
    """Reads all text as content."""

    def add(self, text: str, *, final: bool) -> list[Piece]:  # noqa: ARG002 - nothing is ever held back
        """See `Reader.add`."""
        return [Text(text)] if text else []
