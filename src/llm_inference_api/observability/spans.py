"""Interface of the spans of an RPC and of its requests to models.

The classes here are no-ops, used without tracing; they do not import OpenTelemetry. `observability.tracing` has the
recording ones.
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
    """Trace and span id of an RPC, in hexadecimal digits."""

    trace_id: str
    span_id: str | None = None
    """None if the caller's trace is known but this service records no span."""


class Span:
    """Span of one request to a model; a context manager that ends the span on exit."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Ends the span, as successful unless `failed` was called."""

    def entered(self, entry: StageEntry) -> None:
        """Records that one of the request's answers entered a stage."""

    def first_text(self, seconds: float) -> None:
        """Records the time from the start of the RPC to the first text."""

    def ended(self, usage: Usage, finish_reasons: Sequence[str]) -> None:
        """Records the usage and the finish reasons of all answers."""

    def embedded(self, tokens: int) -> None:
        """Records the number of tokens that were embedded or ranked."""

    def failed(self, code: str) -> None:
        """Records the gRPC status of a failed request."""


class RpcSpan:
    """Span of one RPC; creates the child spans of its requests to models."""

    def __init__(self, trace: Trace | None = None) -> None:
        self.trace = trace
        """Ids of the RPC in its trace; None if neither the caller nor this service traces."""

    def generation(self, request: GenerationRequest, *, streamed: bool) -> Span:  # noqa: ARG002 - it does nothing
        """Starts and returns the span of a request for text."""
        return _NOTHING

    def embedding(self, model: str) -> Span:  # noqa: ARG002 - it does nothing
        """Starts and returns the span of a request for embeddings."""
        return _NOTHING

    def ranking(self, model: str) -> Span:  # noqa: ARG002 - it does nothing
        """Starts and returns the span of a request to rank."""
        return _NOTHING

    def classification(self, model: str) -> Span:  # noqa: ARG002 - it does nothing
        """Starts and returns the span of a request to classify."""
        return _NOTHING

    def ended(self, code: str, number: int, error: str | None) -> None:
        """Ends the span with the gRPC status sent to the caller.

        Args:
            code: Name of the status, such as `OK`.
            number: Number of the status.
            error: Text of the status unless it is OK.
        """


class Spans:
    """Factory of RPC spans."""

    def rpc(self, method: str, metadata: Mapping[str, str], peer: str, request_id: str) -> RpcSpan:  # noqa: ARG002
        """Starts and returns the span of an RPC.

        Args:
            method: Full name, such as `/llm_inference.v1.InferenceService/Chat`.
            metadata: The RPC's metadata; names in lower case.
            peer: The caller's address in gRPC's form, such as `ipv4:10.1.2.3:4567`.
            request_id: Id of the RPC in the access log.
        """
        match = _TRACEPARENT.fullmatch(metadata.get("traceparent", ""))
        return RpcSpan(Trace(match[1]) if match else None)

    def close(self) -> None:
        """Exports pending spans; blocks for a few seconds at most."""


_NOTHING = Span()
