"""gRPC-Web's framing by hand (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md)."""

import struct

from google.protobuf.message import Message

CONTENT_TYPE = "application/grpc-web+proto"
_TRAILERS = 0x80


def frame(message: Message) -> bytes:
    """Returns the message as a request's body: a flag, the length, the bytes."""
    data = message.SerializeToString()
    return struct.pack(">BI", 0, len(data)) + data


def frames(body: bytes) -> tuple[list[bytes], dict[str, str]]:
    """Returns the messages of an answer's body, and its trailers."""
    messages, trailers = [], {}
    while body:
        flag, length = struct.unpack(">BI", body[:5])
        data, body = body[5 : 5 + length], body[5 + length :]
        if flag & _TRAILERS:
            trailers = dict(line.split(":", 1) for line in data.decode().split("\r\n") if line)
        else:
            messages.append(data)
    return messages, {name.strip().lower(): value.strip() for name, value in trailers.items()}
