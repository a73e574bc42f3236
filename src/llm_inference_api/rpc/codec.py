"""What callers of the Connect protocol expect (https://connectrpc.com/docs/protocol): JSON where they send it.

Envoy turns their requests into gRPC's. gRPC's server takes the content type `application/grpc+json` but does not tell
it; the header `x-message-codec` does.
"""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import status_pb2

from llm_inference_api import headers
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.json_object import integer
from llm_inference_api.requests.json_size import counting
from llm_inference_api.rpc.message_size import MAX_PARTS
from llm_inference_api.rpc.off_loop import off_loop
from llm_inference_api.rpc.shield import decoded

Behaviour = Callable[[Any, Any], Awaitable[Any]]
Streaming = Callable[[Any, Any], AsyncGenerator[Any]]

_JSON = "json"
_DEEPEST = 100
"""Levels of messages, as many as protobuf's parser takes."""


def is_json(metadata: Sequence[tuple[str, str | bytes]]) -> bool:
    """Returns whether an RPC's messages are JSON."""
    return any(name == headers.MESSAGE_CODEC and value == _JSON for name, value in metadata)


def for_connect(
    metadata: Sequence[tuple[str, str | bytes]], trailing: tuple[tuple[str, str | bytes], ...]
) -> tuple[tuple[str, str | bytes], ...]:
    """Returns the trailing metadata of an RPC's error as its caller expects them.

    Envoy copies the type URLs of an error's details to where Connect has names of types.
    """
    if all(name != headers.MESSAGE_CODEC for name, _ in metadata):
        return trailing
    return tuple(
        (name, _with_names(value) if name == headers.GRPC_STATUS_DETAILS and isinstance(value, bytes) else value)
        for name, value in trailing
    )


def _with_names(data: bytes) -> bytes:
    status = status_pb2.Status.FromString(data)
    for detail in status.details:
        detail.type_url = detail.type_url.rpartition("/")[2]
    return bytes(status.SerializeToString())


def from_json(kind: type[Message]) -> Callable[[bytes], Message | InvalidFieldError]:
    """Returns a deserializer of the message type that returns an error instead of raising it."""

    def decode(data: bytes) -> Message | InvalidFieldError:
        try:
            for _ in counting(data, "request", MAX_PARTS, MAX_PARTS):
                pass
            value = json.loads(data or b"{}", parse_int=integer)
            if not isinstance(value, dict):
                return InvalidFieldError("request", "is not a valid message of its type (no JSON object)")
            return json_format.ParseDict(value, kind(), max_recursion_depth=_DEEPEST)
        except InvalidFieldError as error:
            return error
        except RecursionError:
            return InvalidFieldError("request", f"has more than {_DEEPEST} levels")
        except (ValueError, json_format.ParseError) as error:
            reason = str(error).partition("\n")[0]  # All fields of the type follow.
            return InvalidFieldError("request", f"is not a valid message of its type ({reason})")

    return decode


def reading_json(behaviour: Behaviour, kind: type[Message]) -> Behaviour:
    """Returns the behaviour of a unary method for requests in JSON; long ones are parsed beside the event loop."""

    async def unary(data: bytes, call: Any) -> Any:
        return await behaviour(await _parsed(kind, data), call)

    return unary


def streaming_of_json(behaviour: Streaming, kind: type[Message]) -> Streaming:
    """Same as `reading_json`, for a method that streams its responses."""

    async def stream(data: bytes, call: Any) -> AsyncGenerator[Any]:
        async with aclosing(behaviour(await _parsed(kind, data), call)) as messages:
            async for message in messages:
                yield message

    return stream


def writing_json(serve: Behaviour) -> Behaviour:
    """Returns the handler of a unary method with its response in JSON; long ones are written beside the event loop."""

    async def unary(request: Any, context: Any) -> bytes:
        message = await serve(request, context)
        return await off_loop(message.ByteSize(), to_json, message)

    return unary


async def _parsed(kind: type[Message], data: bytes) -> Any:
    return decoded(await off_loop(len(data), from_json(kind), data))


def to_json(message: Message) -> bytes:
    """Returns the message in protobuf's JSON form (https://protobuf.dev/programming-guides/json)."""
    return json_format.MessageToJson(message, indent=None).encode()
