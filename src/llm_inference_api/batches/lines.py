"""What a wire says of the lines of its batches."""

from typing import NamedTuple, Protocol

from llm_inference_api.batches.records import AnsweredLine, BatchJob, Line, LineProblem


class Heading(NamedTuple):
    """What is known of a valid line."""

    custom_id: str
    model: str | None


class LineWire(Protocol):
    """Reads lines as requests, and writes what becomes of them."""

    def check(self, line: Line, endpoint: str) -> Heading | LineProblem:
        """Returns the heading of a line of a batch for this endpoint, or what is wrong with it."""

    async def answer(self, batch: BatchJob, line: Line) -> AnsweredLine:
        """Computes a line.

        Raises:
            OverloadedError: The model has no capacity; the line may be tried again.
            UnavailableError: The model is not there now; the line may be tried again.
        """

    def give_up(self, line: Line, code: str, message: str) -> AnsweredLine:
        """Returns what is written of a line that was not computed."""
