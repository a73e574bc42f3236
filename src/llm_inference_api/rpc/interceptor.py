"""Server interceptor: authentication, admission, error mapping, and the log, metrics and span of each RPC."""

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, aclosing, contextmanager, suppress
from typing import Any

import grpc
import grpc.aio

from llm_inference_api import headers
from llm_inference_api.errors import (
    InvalidFieldError,
    ResponseTooLargeError,
    ServiceError,
    UnauthenticatedError,
    WriteTimeoutError,
)
from llm_inference_api.observability.log import fields, line_identity
from llm_inference_api.observability.metrics import Metrics
from llm_inference_api.observability.spans import Spans
from llm_inference_api.rpc.access_log import log_access
from llm_inference_api.rpc.admission import Admission
from llm_inference_api.rpc.authentication import Authenticator, address
from llm_inference_api.rpc.call import Call, Context
from llm_inference_api.rpc.codec import for_connect, is_json, reading_json, streaming_of_json, to_json, writing_json
from llm_inference_api.rpc.error_writer import ErrorWriter, StatusOnly
from llm_inference_api.rpc.json_fields import known
from llm_inference_api.rpc.shield import decoded, decoded_each, shielded, tolerant
from llm_inference_api.rpc.stalls import StallLimit
from llm_inference_api.rpc.statuses import Failure, describe, describe_unexpected

Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Any]]
Unary = Callable[[Any, Call], Awaitable[Any]]
Stream = Callable[[Any, Call], AsyncGenerator[Any]]
OURS = "/llm_inference."
"""Method prefix of the contract. Health and reflection RPCs are not counted or logged; a drain ignores them."""
UNKNOWN = "unknown"
"""Method name for the metrics of RPCs to methods that do not exist."""
MAX_RESPONSE_BYTES = 16 << 20
"""Maximum size of a message to a caller."""
_MAX_REQUEST_ID = 128
_STATUS_SECONDS = 1.0
"""Seconds for which a failed stream's handler waits until its status is sent."""
_STATUS_ONLY = StatusOnly()

logger = logging.getLogger(__name__)


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps the handlers of all methods. Handlers of the contract get a `Call` instead of gRPC's context."""

    def __init__(  # noqa: PLR0913 - each is a part of the service
        self,
        authenticator: Authenticator,
        admission: Admission,
        metrics: Metrics,
        spans: Spans,
        wires: Mapping[str, ErrorWriter],
        *,
        write_timeout: float = 60.0,
    ) -> None:
        """Creates an interceptor.

        Args:
            authenticator: Authenticates and identifies callers.
            admission: Admits RPCs.
            metrics: Receives start and end of each RPC.
            spans: Creates the span of each RPC.
            wires: Error writers by full service name, such as `llm_inference.v1.OpenAIService`. Services without one
                report errors by the gRPC status alone.
            write_timeout: Seconds after which a stream whose reader takes nothing is ended.
        """
        self._authenticator = authenticator
        self._admission = admission
        self._metrics = metrics
        self._spans = spans
        self._wires = wires
        self._write_timeout = write_timeout

    async def intercept_service(self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Returns the wrapped handler of the method; None if the method does not exist."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        try:
            self._authenticator.check(method, handler_call_details.invocation_metadata)
        except UnauthenticatedError as error:
            # Unknown method names come from callers and would create unbounded metric labels.
            return self._refusal(method if handler else UNKNOWN, error)
        if handler is None or not method.startswith(OURS):
            return handler and shielded(handler, _end_unobserved)
        if is_json(handler_call_details.invocation_metadata):
            return self._with_json(method, handler)
        decode = tolerant(handler.request_deserializer)
        if handler.response_streaming:
            stream = self._around_stream(method, handler.unary_stream)
            return grpc.unary_stream_rpc_method_handler(stream, decode, handler.response_serializer)
        if handler.request_streaming:
            upload = self._around_upload(method, handler.stream_unary)
            return grpc.stream_unary_rpc_method_handler(upload, decode, handler.response_serializer)
        unary = self._around_unary(method, handler.unary_unary)
        return grpc.unary_unary_rpc_method_handler(unary, decode, handler.response_serializer)

    def _with_json(self, method: str, handler: Any) -> Any:
        kind = handler.request_deserializer.__self__
        if handler.response_streaming:
            stream = self._around_stream(method, streaming_of_json(handler.unary_stream, kind))
            return grpc.unary_stream_rpc_method_handler(stream, None, to_json)
        if handler.request_streaming:
            return self._refusal(method, InvalidFieldError("request", "cannot be a stream of JSON messages"))
        unary = self._around_unary(method, reading_json(handler.unary_unary, kind))
        return grpc.unary_unary_rpc_method_handler(writing_json(unary))

    def _refusal(self, method: str, error: ServiceError) -> Any:
        """Returns a handler that raises the error without reading requests; it fits methods of every kind."""

        async def refuse(_requests: Any, _call: Call) -> AsyncGenerator[Any]:
            raise error
            yield

        return grpc.stream_stream_rpc_method_handler(self._around_stream(method, refuse))

    def _around_unary(self, method: str, behaviour: Unary) -> Callable[[Any, Context], Awaitable[Any]]:
        async def serve(request: Any, call: Call) -> Any:
            return await behaviour(known(decoded(request), call), call)

        return self._around(method, serve)

    def _around_upload(self, method: str, behaviour: Unary) -> Callable[[Any, Context], Awaitable[Any]]:
        async def serve(requests: AsyncIterator[Any], call: Call) -> Any:
            async with aclosing(decoded_each(known(requests, call))) as messages:
                return await behaviour(messages, call)

        return self._around(method, serve)

    def _around(self, method: str, behaviour: Unary) -> Callable[[Any, Context], Awaitable[Any]]:
        writer = self._writer(method)

        async def serve(request: Any, context: Context) -> Any:
            with self._observed(method, context) as call, ExitStack() as passage:
                try:
                    self._admit(call, passage)
                    return _sendable(await behaviour(request, call))
                except Exception as error:
                    await _abort(call, _failure(error), writer)

        return serve

    def _around_stream(self, method: str, behaviour: Stream) -> Callable[[Any, Context], Awaitable[None]]:
        writer = self._writer(method)

        async def serve(request: Any, context: Context) -> None:
            sent = None
            with self._observed(method, context) as call, ExitStack() as passage:
                limit = StallLimit(call, self._write_timeout, self._admission)
                passage.callback(limit.close)
                try:
                    self._admit(call, passage)
                    # aclosing: the handler is closed at once, not by the garbage collector, if the caller cancels.
                    async with aclosing(behaviour(known(decoded(request), call), call)) as messages:
                        async for sent in messages:
                            await _write(sent, limit, messages)
                except Exception as error:
                    failure = _failure(error)
                    if sent is not None and not limit.is_blocked:
                        await _write_last(writer.message(type(sent), failure), limit)
                    # The status waits behind messages that the reader does not take; gRPC sends it when it can.
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_STATUS_SECONDS):
                            await _abort(call, failure, writer)

        return serve

    @contextmanager
    def _observed(self, method: str, context: Context) -> Iterator[Call]:
        """Yields the RPC's Call, and records its end exactly once, whether it succeeds, fails or is cancelled."""
        call = self._begin(method, context)
        try:
            yield call
        except (asyncio.CancelledError, GeneratorExit):
            call.code = call.cut_off_code()
            raise
        except Exception:
            # gRPC reports exceptions other than AbortError as UNKNOWN.
            call.code = grpc.StatusCode.UNKNOWN if call.code is grpc.StatusCode.OK else call.code
            raise
        finally:
            self._end(call)

    def _begin(self, method: str, context: Context) -> Call:
        metadata = _texts(context)
        request_id = metadata.get(headers.REQUEST_ID, "")[:_MAX_REQUEST_ID] or uuid.uuid4().hex
        span = self._spans.rpc(method, metadata, context.peer(), request_id)
        call = Call(method, request_id, address(context), context, span)
        line_identity.set(call.identity)
        self._metrics.rpc_started()
        return call

    def _end(self, call: Call) -> None:
        """Records the end of the RPC in the metrics, the access log and the span."""
        seconds = time.monotonic() - call.started_at
        self._metrics.rpc_ended(call.method, call.code.name, seconds)
        log_access(call)
        call.span.ended(call.code.name, call.code.value[0], call.error)

    def _admit(self, call: Call, passage: ExitStack) -> None:
        """Identifies the caller, and counts the RPC as in flight until `passage` closes. See `Admission.passage`."""
        call.caller = self._authenticator.caller(call.context)
        passage.enter_context(self._admission.passage(call.caller))

    def _writer(self, method: str) -> ErrorWriter:
        service = method.strip("/").partition("/")[0]
        return self._wires.get(service, _STATUS_ONLY)


def _sendable(response: Any) -> Any:
    """Returns the response. Raises ResponseTooLargeError where gRPC would say RESOURCE_EXHAUSTED, which means retry."""
    if (size := response.ByteSize()) > MAX_RESPONSE_BYTES:
        raise ResponseTooLargeError(size, MAX_RESPONSE_BYTES)
    return response


async def _write(message: Any, limit: StallLimit, messages: AsyncGenerator[Any]) -> None:
    """Sends a message of a stream. WriteTimeoutError is raised in the handler too, which records it."""
    try:
        await limit.write(message)
    except WriteTimeoutError as error:
        with suppress(StopAsyncIteration):
            await messages.athrow(error)
        raise


async def _write_last(message: Any, limit: StallLimit) -> None:
    """Sends the message that tells a reader of a stream why it ends, if there is one and the reader takes it."""
    if message is not None:
        with suppress(WriteTimeoutError):
            await limit.write(message)


async def _end_unobserved(context: Context, error: Exception) -> None:
    """Aborts an RPC of a service outside the contract, with the status for the error."""
    if isinstance(error, NotImplementedError):
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "this method is not implemented")
    failure = _failure(error)
    await context.abort(failure.code, failure.status.message, failure.trailing_metadata)


def _failure(error: Exception) -> Failure:
    if isinstance(error, ServiceError):
        return describe(error)
    failure, incident = describe_unexpected()
    logger.error("internal error", exc_info=error, extra=fields(incident_id=incident))
    return failure


async def _abort(call: Call, failure: Failure, writer: ErrorWriter) -> None:
    """Aborts the RPC with the failure's status. Raises gRPC's AbortError, which must not be caught."""
    call.code, call.error = failure.code, failure.status.message
    metadata = (*failure.trailing_metadata, *writer.trailing_metadata(failure))
    await call.context.abort(failure.code, failure.status.message, for_connect(call.invocation_metadata(), metadata))


def _texts(context: Context) -> dict[str, str]:
    """Returns the text metadata by key; the last value of repeated keys."""
    return {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
