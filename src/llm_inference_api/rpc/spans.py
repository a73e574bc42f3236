"""The spans of RPCs: OpenTelemetry's instrumentation, and the status that the caller sees."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

import grpc
import grpc.aio
from opentelemetry.instrumentation.grpc._aio_server import OpenTelemetryAioServerInterceptor
from opentelemetry.semconv._incubating.attributes.rpc_attributes import (
    RPC_GRPC_STATUS_CODE,
    RPC_REQUEST_METADATA_TEMPLATE,
)
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.trace import Span, Status, StatusCode, format_span_id, format_trace_id

from llm_inference_api.observability.tracing import FAILURES, Tracing
from llm_inference_api.rpc.call import Trace, current_call, current_trace, ending_of

Details = grpc.HandlerCallDetails
Context = grpc.aio.ServicerContext[Any, Any]
_TRACED = "/llm_inference."
_NOT_TRACED = ("/llm_inference.web.v1.OperationsService/GetMetrics",)
"""Prometheus calls it all day."""


class RpcSpans(OpenTelemetryAioServerInterceptor):
    """A span for each RPC, child of the caller's or Envoy's.

    The package itself reports calls that were cancelled or came too late as OK, and leaves the handlers of streams to
    the garbage collector: what surrounds the handler is replaced here.
    """

    def __init__(self, tracing: Tracing) -> None:
        super().__init__(tracing.provider.get_tracer(__name__), filter_=_is_traced)
        logging.getLogger("opentelemetry.context").addFilter(_is_no_late_detach)

    def _intercept_aio_server_unary(
        self, behavior: Callable[..., Awaitable[Any]], handler_call_details: Details
    ) -> Callable[..., Awaitable[Any]]:
        async def call(request: Any, context: Context) -> Any:
            with self._spanned(handler_call_details, context):
                return await behavior(request, context)

        return call

    def _intercept_aio_server_stream(
        self, behavior: Callable[..., AsyncGenerator[Any]], handler_call_details: Details
    ) -> Callable[..., AsyncGenerator[Any]]:
        async def call(request: Any, context: Context) -> AsyncGenerator[Any]:
            with self._spanned(handler_call_details, context):
                async with aclosing(behavior(request, context)) as messages:
                    async for message in messages:
                        yield message

        return call

    @contextmanager
    def _spanned(self, details: Details, context: Context) -> Iterator[None]:
        """Surrounds the handler of an RPC with its span."""
        aborted = None
        with self._set_remote_context(context), self._start_span(details, context) as span:
            ids = span.get_span_context()
            current_trace.set(Trace(format_trace_id(ids.trace_id), format_span_id(ids.span_id)))
            try:
                yield
            except grpc.aio.AbortError as error:
                _set_code(span, context.code(), context.details())
                aborted = error  # It is no exception in the span's eyes, but a status.
            except (asyncio.CancelledError, GeneratorExit):
                _set_code(span, ending_of(context))
                raise
            except Exception:
                _set_code(span, grpc.StatusCode.UNKNOWN)
                raise
            finally:
                _name_request(span)
        if aborted is not None:
            raise aborted


def _set_code(span: Span, code: grpc.StatusCode, details: str = "") -> None:
    span.set_attribute(RPC_GRPC_STATUS_CODE, code.value[0])
    span.set_attribute(ERROR_TYPE, code.name)
    if code.name in FAILURES:
        span.set_status(Status(StatusCode.ERROR, details or code.name))


def _name_request(span: Span) -> None:
    call = current_call.get(None)
    if call is not None:
        span.set_attribute(f"{RPC_REQUEST_METADATA_TEMPLATE}.x-request-id", [call.request_id])


def _is_traced(details: Details) -> bool:
    return details.method.startswith(_TRACED) and details.method not in _NOT_TRACED


def _is_no_late_detach(record: logging.LogRecord) -> bool:
    """Whether the line is another one than that of a stream whose caller left while it was being sent to.

    Its handler is closed in a new task, where OpenTelemetry does not find the context that it wants to leave.
    """
    return "detach" not in record.getMessage()
