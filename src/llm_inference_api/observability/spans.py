"""What the service says of a request while it is served, for whoever traces it.

The classes here do nothing: they are what runs where no traces are wanted. `observability.tracing` has those that do.
"""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from llm_inference_api.requests.answer import Usage
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.requests.step import StageEntry


class Span:
    """One request to a model. It ends with its `with` block."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Ends the span; what has not `failed` before went well."""

    def entered(self, entry: StageEntry) -> None:
        """A request to the worker came to a stage."""

    def first_text(self, seconds: float) -> None:
        """The first text came so many seconds after the RPC."""

    def ended(self, usage: Usage, finish_reasons: Sequence[str]) -> None:
        """All answers are there; they ended for these reasons."""

    def embedded(self, tokens: int) -> None:
        """The embeddings of texts with so many tokens are there."""

    def failed(self, code: str) -> None:
        """The request ends with this gRPC status."""


class Spans:
    """Makes the spans."""

    def generation(self, request: GenerationRequest, *, streamed: bool) -> Span:  # noqa: ARG002 - it does nothing
        """Returns the span of a request for text, which begins now."""
        return _NOTHING

    def embedding(self, model: str) -> Span:  # noqa: ARG002 - it does nothing
        """Returns the span of a request for embeddings, which begins now."""
        return _NOTHING

    def close(self) -> None:
        """Sends what is not sent yet; gives up after some seconds. May block that long."""


_NOTHING = Span()
