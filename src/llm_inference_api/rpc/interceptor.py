"""What surrounds every RPC: its log line and figures, its place in the drain, and the mapping of its errors."""

import asyncio
import logging
import re
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import ExitStack, aclosing, asynccontextmanager
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import Message

from llm_inference_api import headers
from llm_inference_api.api.openai.errors import error_event, error_metadata
from llm_inference_api.errors import ServiceError, UnauthenticatedError
from llm_inference_api.observability.log import fields, line_identity
from llm_inference_api.observability.metrics import Metrics
from llm_inference_api.rpc.call import Call, Gate, Trace, current_call, current_trace, ending_of
from llm_inference_api.rpc.callers import Guard, address
from llm_inference_api.rpc.shield import decoded, shielded, tolerant
from llm_inference_api.rpc.statuses import Failure, describe, describe_unexpected

Context = grpc.aio.ServicerContext[Any, Any]
Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Any]]
OURS = "/llm_inference."
"""How the contract's methods begin. Health checks and reflection are left alone: a drain does not wait for them."""
OPENAI = "/llm_inference.v1.OpenAIService/"
UNKNOWN = "unknown"
"""What methods are called that there are not."""
_MAX_REQUEST_ID = 128
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-.*")
"""https://www.w3.org/TR/trace-context/#traceparent-header"""

access_log = logging.getLogger("llm_inference_api.access")
logger = logging.getLogger(__name__)


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps the handlers of all methods."""

    def __init__(self, guard: Guard, gate: Gate, metrics: Metrics) -> None:
        self._guard = guard
        self._gate = gate
        self._metrics = metrics

    async def intercept_service(self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Returns the method's handler with everything around it."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        try:
            self._guard.check(method, handler_call_details.invocation_metadata)
        except UnauthenticatedError as error:
            # Names that nobody here has given would fill the metrics.
            return self._refusal(method if handler else UNKNOWN, error)
        if handler is None or not method.startswith(OURS):
            return handler and shielded(handler, _end)
        decode = tolerant(handler.request_deserializer)
        if handler.response_streaming:
            stream = self._around_stream(method, handler.unary_stream)
            return grpc.unary_stream_rpc_method_handler(stream, decode, handler.response_serializer)
        unary = self._around_unary(method, handler.unary_unary)
        return grpc.unary_unary_rpc_method_handler(unary, decode, handler.response_serializer)

    def _refusal(self, method: str, error: ServiceError) -> Any:
        """Returns a handler for whatever the method takes and gives, which reads nothing of it."""

        async def refuse(_requests: Any, context: Context) -> AsyncGenerator[Any]:
            async with self._observed(method, context):
                await _abort(context, describe(error))
                yield

        return grpc.stream_stream_rpc_method_handler(refuse)

    def _around_unary(self, method: str, behaviour: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(request: Any, context: Context) -> Any:
            async with self._observed(method, context):
                try:
                    return await behaviour(decoded(request), context)
                except Exception as error:
                    await _abort(context, _failure(error))

        return call

    def _around_stream(
        self, method: str, behaviour: Callable[..., AsyncGenerator[Any]]
    ) -> Callable[..., AsyncGenerator[Any]]:
        async def call(request: Any, context: Context) -> AsyncGenerator[Any]:
            async with self._observed(method, context):
                sent = None
                try:
                    async with aclosing(behaviour(decoded(request), context)) as messages:
                        async for message in messages:
                            sent = message
                            yield message
                except Exception as error:
                    failure = _failure(error)
                    if sent is not None and (fields := _in_band(sent, failure)):
                        # REST callers see neither status nor trailers once a stream has begun.
                        yield type(sent)(**fields)
                    await _abort(context, failure)

        return call

    @asynccontextmanager
    async def _observed(self, method: str, context: Context) -> AsyncGenerator[None]:
        """Counts, times and logs the RPC, whichever way it ends."""
        metadata = _metadata(context)
        trace = current_trace.get(_callers_trace(metadata))
        call = Call(method, _request_id(metadata), address(context), trace, caller=self._guard.caller(context))
        current_call.set(call)
        line_identity.set(call.identity)
        self._metrics.rpc_started()
        with ExitStack() as passage:
            try:
                await self._enter(passage, context)
                yield
            except (asyncio.CancelledError, GeneratorExit):
                call.code = ending_of(context).name
                raise
            finally:
                seconds = time.monotonic() - call.started_at
                self._metrics.rpc_ended(method, call.code, seconds)
                _log_access(call, seconds)

    async def _enter(self, passage: ExitStack, context: Context) -> None:
        try:
            passage.enter_context(self._gate.passage(current_call.get().caller))
        except ServiceError as error:
            await _abort(context, describe(error))


async def _end(context: Context, error: Exception) -> None:
    """Ends an RPC that is not ours."""
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


def _in_band(sent: Message, failure: Failure) -> dict[str, object]:
    """Returns the fields with which a message of the stream says the failure; none where its type cannot."""
    names = sent.DESCRIPTOR.fields_by_name
    if "http_body" in names:
        return {"http_body": error_event(failure)}
    return {"error": failure.status} if "error" in names else {}


async def _abort(context: Context, failure: Failure) -> None:
    call = current_call.get()
    call.code = failure.code.name
    call.facts["error"] = failure.status.message
    more = error_metadata(failure) if call.method.startswith(OPENAI) else ()
    await context.abort(failure.code, failure.status.message, (*failure.trailing_metadata, *more))


def _metadata(context: Context) -> dict[str, str]:
    return {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}


def _request_id(metadata: dict[str, str]) -> str:
    return metadata.get(headers.REQUEST_ID, "")[:_MAX_REQUEST_ID] or uuid.uuid4().hex


def _callers_trace(metadata: dict[str, str]) -> Trace | None:
    match = _TRACEPARENT.fullmatch(metadata.get(headers.TRACEPARENT, ""))
    return Trace(match[1]) if match else None


def _log_access(call: Call, seconds: float) -> None:
    values = {
        "code": call.code,
        "duration_ms": round(seconds * 1000, 1),
        "peer": call.peer,
        "caller": call.caller,
        **call.facts,
    }
    access_log.info(call.method.rpartition("/")[2], extra=fields(**call.identity, **values))
