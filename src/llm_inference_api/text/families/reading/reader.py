"""What a parser of an answer does, and the one that takes all text for content."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from llm_inference_api.requests.events import Piece, Text


class Part(NamedTuple):
    """A piece of an answer and the text that it was read from."""

    piece: Piece | None
    """None: markup, such as markers, white space beside them, separators of calls."""
    size: int
    """Number of the answer's characters that the part stands for. Converted arguments are longer or shorter."""


class Reader(Protocol):
    """Incremental parser of one answer. The arguments of a tool call are streamed as parts after its name.

    The parts divide the answer: in order, their sizes add up to the text that was read so far, less what is held.
    """

    @property
    def closing(self) -> str | None:
        """Text that ends the thoughts which are being read; empty if the form has none, None outside of thoughts."""

    @property
    def thought_ranges(self) -> Sequence[tuple[int, int]]:
        """Ranges of the answer's characters, end excluded, that are thoughts or their markers."""

    def add(self, text: str, *, final: bool) -> list[Part]:
        """Adds text and returns the parts that are complete; with `final`, flushes all held text."""


class PlainReader:
    """Reads all text as content."""

    closing = None
    thought_ranges: Sequence[tuple[int, int]] = ()

    def add(self, text: str, *, final: bool) -> list[Part]:  # noqa: ARG002 - nothing is ever held back
        """See `Reader.add`."""
        return [Part(Text(text), len(text))] if text else []
