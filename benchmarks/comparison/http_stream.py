"""A small HTTP/1.1 client for event streams.

A whole client, such as httpx, takes as much processor time for an event as a small model's step takes, and it runs on
the processors of the server that is measured.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple


class Head(NamedTuple):
    """A response's status, and its headers by their names in small letters."""

    status: int
    headers: dict[str, str]


async def read_head(reader: asyncio.StreamReader) -> Head:
    """Reads a response up to the end of its headers.

    Raises:
        ConnectionError: The server closed the connection before.
    """
    line = await reader.readline()
    if not line:
        raise ConnectionError("the server closed the connection without an answer")
    status, headers = int(line.split()[1]), {}
    while (line := await reader.readline()).strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    return Head(status, headers)


async def read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> AsyncIterator[bytes]:
    """Yields the parts of a body as they come: chunks, or as many bytes as the headers say, or all up to the end."""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        while size := int((await reader.readline()).partition(b";")[0], 16):
            yield (await reader.readexactly(size + 2))[:-2]
    elif "content-length" in headers:
        yield await reader.readexactly(int(headers["content-length"]))
    else:
        while part := await reader.read(65536):
            yield part


async def lines(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yields the lines of a body, which parts may cut anywhere."""
    rest = b""
    async for part in parts:
        *whole, rest = (rest + part).split(b"\n")
        for line in whole:
            yield line.rstrip(b"\r")
    if rest:
        yield rest


async def events(body: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    """Yields the JSON of each `data:` line (server-sent events), up to OpenAI's `[DONE]`."""
    async for line in lines(body):
        data = line.removeprefix(b"data:").strip() if line.startswith(b"data:") else b""
        if data == b"[DONE]":
            return
        if data:
            yield json.loads(data)


def request(method: str, path: str, body: Mapping[str, Any] | None = None) -> bytes:
    """Returns a request after which the server closes the connection."""
    content = b"" if body is None else json.dumps(body).encode()
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + content
