"""`Call`: the state of one RPC, for its handler and for the log, the metrics and its span."""

import math
import time
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio

from llm_inference_api import headers
from llm_inference_api.observability.spans import RpcSpan, Trace

Context = grpc.aio.ServicerContext[Any, Any]
Metadata = tuple[tuple[str, str | bytes], ...]

_ROUNDING = 0.01
"""Relative error of a timeout on the wire: gRPC clients round `grpc-timeout` up to two or three digits, so that the
service's deadline may be later than the caller's."""
_CLOCK_JUMP = 1.0
"""Seconds between the system's clock and the monotonic one that tell that the former was set."""
_TRANSIT = 0.02
"""Seconds by which the request's network latency may exceed that of the cancellation."""


@dataclass(slots=True)
class Call:
    """One RPC. Handlers get it instead of gRPC's context: they raise errors, and the interceptor sets the status."""

    method: str
    """Full name, such as `/llm_inference.v1.InferenceService/Chat`."""
    request_id: str
    """Correlation id: the `x-request-id` of the metadata, else a new one."""
    peer: str
    """The caller's address without its port."""
    context: Context
    """gRPC's context of the RPC."""
    span: RpcSpan = field(default_factory=RpcSpan)
    """Span of the RPC; parent of the spans of its requests to models."""
    caller: str = ""
    """The API key's name, the client certificate's subject or the address; empty before `Authenticator.caller`."""
    started_at: float = field(default_factory=time.monotonic)
    """Start time, in seconds of the monotonic clock."""
    code: grpc.StatusCode = grpc.StatusCode.OK
    """The RPC's status code."""
    error: str | None = None
    """The status message; None for OK."""
    is_begun: bool = False
    """Whether the initial metadata was sent."""
    facts: dict[str, object] = field(default_factory=dict)
    """Additional fields of the access log line, such as the model and token counts."""
    is_background: bool = False
    """Whether no RPC waits for it, so that its work leaves its place to that of others."""
    _started_on_clock: float = field(default_factory=time.time)
    _deadline: float = field(init=False)
    """The caller's deadline in seconds of the monotonic clock; infinity for none."""
    _slack: float = field(init=False)
    """A cancellation with at most this many seconds left is attributed to the caller's deadline."""

    def __post_init__(self) -> None:
        remaining: float | None = self.context.time_remaining()
        self._deadline = self.started_at + (math.inf if remaining is None else remaining)
        self._slack = _TRANSIT + _ROUNDING * (remaining or 0.0)

    @property
    def trace(self) -> Trace | None:
        """Trace and span id of the RPC; None if neither side traces it."""
        return self.span.trace

    @property
    def identity(self) -> dict[str, object]:
        """The fields that all log lines of the RPC have."""
        ids = self.trace._asdict() if self.trace else {}
        return {"request_id": self.request_id, **ids, "rpc.method": self.method}

    @property
    def session(self) -> str:
        """The `x-session-id` of the metadata, or empty."""
        sent = dict(self.invocation_metadata()).get(headers.SESSION_ID, "")
        return sent if isinstance(sent, str) else ""

    def time_remaining(self) -> float | None:
        """Returns the seconds until the caller's deadline, 0 once it has passed; None if the caller set no deadline."""
        remaining: float | None = self.context.time_remaining()
        if remaining is None:
            return None
        now = time.monotonic()
        # grpc.aio subtracts the system's clock, although the deadline itself is on the monotonic one.
        has_jumped = abs(time.time() - self._started_on_clock - (now - self.started_at)) > _CLOCK_JUMP
        return max(self._deadline - now, 0.0) if has_jumped else remaining

    def cut_off_code(self) -> grpc.StatusCode:
        """Returns the code of a cancelled RPC: DEADLINE_EXCEEDED at the caller's deadline, else CANCELLED.

        Clients enforce their deadlines themselves by cancelling, often slightly before the service's deadline.
        """
        remaining = self.time_remaining()
        expired = remaining is not None and remaining <= self._slack
        return grpc.StatusCode.DEADLINE_EXCEEDED if expired else grpc.StatusCode.CANCELLED

    def invocation_metadata(self) -> Metadata:
        """Returns the RPC's request metadata."""
        return tuple(self.context.invocation_metadata() or ())

    async def send_initial_metadata(self, metadata: Metadata) -> None:
        """Sends the initial metadata. May be called once, before the first message."""
        self.is_begun = True
        await self.context.send_initial_metadata(metadata)
