"""One RPC while it is served: what its handler may ask of it, and what the log, the metrics and its span say of it."""

import time
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio

from llm_inference_api.observability.spans import RpcSpan, Trace

Context = grpc.aio.ServicerContext[Any, Any]
Metadata = tuple[tuple[str, str | bytes], ...]

_ROUNDING = 0.01
"""Part of a timeout by which the service's deadline may be later than the caller's: gRPC's clients send `grpc-timeout`
with two or three digits, rounded up."""
_TRANSIT = 0.02
"""Seconds by which the request may have travelled longer than the cancellation at the caller's deadline."""


@dataclass(slots=True)
class Call:
    """One RPC. Handlers get it in the place of gRPC's context: they raise errors and leave statuses to rpc."""

    method: str
    """Full name, such as `/llm_inference.v1.InferenceService/Chat`."""
    request_id: str
    """The request's name for the caller, Envoy and the log: the metadata's `x-request-id`, else a new one."""
    peer: str
    """The caller's address without its port."""
    context: Context
    """gRPC's side of the RPC."""
    span: RpcSpan = field(default_factory=RpcSpan)
    """Parent of the spans of the requests to models that this RPC makes."""
    caller: str = ""
    """Name of the caller: an API key's, a certificate's subject or the address. Empty until the caller is known."""
    started_at: float = field(default_factory=time.monotonic)
    """Seconds of the monotonic clock."""
    code: grpc.StatusCode = grpc.StatusCode.OK
    """The status that the caller sees."""
    error: str | None = None
    """The status's message; None while nothing failed."""
    facts: dict[str, object] = field(default_factory=dict)
    """Further values for the access log, by name, such as the model and the tokens."""
    _slack: float = field(init=False)
    """Seconds before the service's deadline from which on a cancellation is taken for the caller's deadline."""

    def __post_init__(self) -> None:
        self._slack = _TRANSIT + _ROUNDING * (self.time_remaining() or 0.0)

    @property
    def trace(self) -> Trace | None:
        """The ids under which tracing systems know the RPC; None where neither side traces."""
        return self.span.trace

    @property
    def identity(self) -> dict[str, object]:
        """The values that all log lines about the RPC have."""
        ids = self.trace._asdict() if self.trace else {}
        return {"request_id": self.request_id, **ids, "rpc.method": self.method}

    def time_remaining(self) -> float | None:
        """Returns the seconds until the caller's deadline, 0 once it has passed; None where the caller set none."""
        left: float | None = self.context.time_remaining()
        return left

    def cut_off_code(self) -> grpc.StatusCode:
        """Returns the status that the caller sees of an RPC that was cut off: by its deadline, else by the caller.

        Callers enforce their deadlines themselves, and cancel: the service's own clock may not be there yet.
        """
        left = self.time_remaining()
        late = left is not None and left <= self._slack
        return grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED

    def invocation_metadata(self) -> Metadata:
        """Returns the metadata that came with the RPC."""
        return tuple(self.context.invocation_metadata() or ())

    async def send_initial_metadata(self, metadata: Metadata) -> None:
        """Sends metadata ahead of the first message. Has to be called before that, and once."""
        await self.context.send_initial_metadata(metadata)
