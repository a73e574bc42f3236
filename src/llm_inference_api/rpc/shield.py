"""Hides exception texts from callers: gRPC and its health and reflection services would put them in the status."""

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from functools import wraps
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message

from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.rpc.message_size import check_parts

Context = grpc.aio.ServicerContext[Any, Any]
End = Callable[[Context, Exception], Any]
"""Aborts the RPC with a status for the exception."""


def tolerant(decode: Callable[[bytes], Message]) -> Callable[[bytes], Message | InvalidFieldError]:
    """Returns a deserializer that returns an error instead of raising it, also for a message with too many parts.

    gRPC would send the text of a raised error to the caller. `decoded` raises it in the handler.

    Args:
        decode: `FromString` of a message class.
    """
    kind: type[Message] = decode.__self__  # type: ignore[attr-defined]

    def decode_or_error(data: bytes) -> Message | InvalidFieldError:
        try:
            check_parts(kind, data)
            return decode(data)
        except InvalidFieldError as error:
            return error
        except DecodeError:
            return InvalidFieldError("request", "is not a valid message of its type; texts must be UTF-8")

    return decode_or_error


def decoded(request: Any) -> Any:
    """Returns the request. Raises InvalidFieldError if `tolerant` could not decode it."""
    if isinstance(request, InvalidFieldError):
        raise request
    return request


async def decoded_each(requests: AsyncIterator[Any]) -> AsyncGenerator[Any]:
    """Yields the requests of a stream. Raises as `decoded`."""
    async for request in requests:
        yield decoded(request)


def shielded(handler: Any, end: End) -> Any:
    """Returns the handler, wrapped so that `end` handles every exception except gRPC's AbortError."""
    decode, encode = tolerant(handler.request_deserializer), handler.response_serializer
    if handler.request_streaming:
        return grpc.stream_stream_rpc_method_handler(
            _shielded(handler.stream_stream, decoded_each, end), decode, encode
        )
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler(_shielded(handler.unary_stream, decoded, end), decode, encode)
    return grpc.unary_unary_rpc_method_handler(_shielded(handler.unary_unary, decoded, end), decode, encode)


def _shielded(behaviour: Callable[..., Any], checked: Callable[[Any], Any], end: End) -> Callable[..., Any]:
    @wraps(behaviour)
    async def generator(request: Any, context: Context) -> AsyncGenerator[Any]:
        try:
            async for message in behaviour(checked(request), context):
                yield message
        except grpc.aio.AbortError:
            raise  # The handler has already set the status.
        except Exception as error:
            await end(context, error)

    @wraps(behaviour)
    async def coroutine(request: Any, context: Context) -> Any:
        try:
            return await behaviour(checked(request), context)
        except grpc.aio.AbortError:
            raise
        except Exception as error:
            await end(context, error)

    return generator if inspect.isasyncgenfunction(behaviour) else coroutine
