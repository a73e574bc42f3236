"""The spans of an RPC and of its requests to models, as the service sees them.

The classes here record nothing: they serve where no traces are wanted, without OpenTelemetry. `observability.tracing`
has those that record.
"""

import re
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import NamedTuple, Self

from llm_inference_api.requests.events import Usage
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.requests.step import StageEntry

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-.*")
"""https://www.w3.org/TR/trace-context/#traceparent-header"""


class Trace(NamedTuple):
    """The ids of an RPC in tracing systems, in hexadecimal digits."""

    trace_id: str
    span_id: str | None = None
    """None where only the caller traces."""


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


class RpcSpan:
    """One RPC, and the parent of the spans of its requests to models."""

    def __init__(self, trace: Trace | None = None) -> None:
        self.trace = trace
        """The ids of the RPC in its trace; None where neither side traces."""

    def generation(self, request: GenerationRequest, *, streamed: bool) -> Span:  # noqa: ARG002 - it does nothing
        """Returns the span of a request for text, which begins now."""
        return _NOTHING

    def embedding(self, model: str) -> Span:  # noqa: ARG002 - it does nothing
        """Returns the span of a request for embeddings, which begins now."""
        return _NOTHING

    def ended(self, code: str, number: int, error: str | None) -> None:
        """Ends the span with the status that the caller sees: its name, its number and, where it is bad, its text."""


class Spans:
    """Begins the spans of RPCs."""

    def rpc(self, method: str, metadata: Mapping[str, str], peer: str, request_id: str) -> RpcSpan:  # noqa: ARG002
        """Returns the span of an RPC, which begins now.

        Args:
            method: Full name, such as `/llm_inference.v1.InferenceService/Chat`.
            metadata: What came with the RPC; names in lower case.
            peer: Who called, as gRPC writes addresses, such as `ipv4:10.1.2.3:4567`.
            request_id: What the access log calls the RPC.
        """
        match = _TRACEPARENT.fullmatch(metadata.get("traceparent", ""))
        return RpcSpan(Trace(match[1]) if match else None)

    def close(self) -> None:
        """Sends what is not sent yet; gives up after some seconds. May block that long."""


_NOTHING = Span()
