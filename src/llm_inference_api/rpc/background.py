"""`BackgroundCalls`: calls that the service makes itself, for work that nobody waits for at the other end of an RPC."""

import asyncio
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import grpc

from llm_inference_api.errors import ServiceError
from llm_inference_api.observability.log import line_identity
from llm_inference_api.observability.spans import Spans
from llm_inference_api.rpc.access_log import log_access
from llm_inference_api.rpc.call import Call, Context
from llm_inference_api.rpc.statuses import code_of

_NO_PEER = "unix:"
"""gRPC's form of a peer that is this machine, for the span."""


class _NoContext:
    """What a call asks of gRPC's context, where there is no RPC."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline

    def time_remaining(self) -> float:
        return max(self._deadline - time.monotonic(), 0.0)

    def invocation_metadata(self) -> tuple[()]:
        return ()


class BackgroundCalls:
    """Opens calls for callers who left work behind."""

    def __init__(self, spans: Spans) -> None:
        self._spans = spans

    @contextmanager
    def open(self, method: str, caller: str, seconds: float, **facts: object) -> Iterator[Call]:
        """Yields a call whose work leaves its place to that of RPCs; its end is logged, and recorded as a span.

        Args:
            method: Full name of the method that an RPC would call for the same work.
            caller: Name of the caller whose work it is.
            seconds: Time limit of the work.
            facts: Additional fields of the access log line.
        """
        request_id = uuid.uuid4().hex
        context = cast("Context", _NoContext(time.monotonic() + seconds))
        span = self._spans.rpc(method, {}, _NO_PEER, request_id)
        call = Call(method, request_id, "", context, span, caller, is_background=True, facts=dict(facts))
        line_identity.set(call.identity)
        try:
            yield call
        except asyncio.CancelledError:
            call.code = grpc.StatusCode.CANCELLED
            raise
        except ServiceError as error:
            call.code, call.error = code_of(error), str(error)
            raise
        except Exception:
            call.code = grpc.StatusCode.INTERNAL
            raise
        finally:
            call.span.ended(call.code.name, call.code.value[0], call.error)
            log_access(call)
