"""A server that says of itself what llama.cpp's ggml-rpc-server says, and computes nothing."""

import asyncio
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_HELLO, _DEVICE_COUNT, _DEVICE_MEMORY = 14, 15, 11


class FakeRpcServer:
    """A server that runs."""

    def __init__(self, *, is_busy: bool) -> None:
        self.endpoint = ""
        self.connections = 0
        """How many there have been."""
        self.is_free = asyncio.Event()
        if not is_busy:
            self.is_free.set()


@asynccontextmanager
async def rpc_server(
    *free: int, version: tuple[int, int, int] = (7, 0, 0), port: int = 0, is_busy: bool = False, answer: bytes = b""
) -> AsyncIterator[FakeRpcServer]:
    """Yields a server whose devices have so many bytes free.

    Args:
        free: Bytes of each device.
        version: Version of the protocol.
        port: Where to listen; 0 for any port.
        is_busy: Whether it accepts connections and answers none until it is free.
        answer: What it says instead of all that; then it ends the connection.
    """
    running = FakeRpcServer(is_busy=is_busy)

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        running.connections += 1
        await running.is_free.wait()
        try:
            while True:
                command, size = struct.unpack("<BQ", await reader.readexactly(9))
                content = await reader.readexactly(size)
                if answer:
                    writer.write(answer)
                    return
                said = {
                    _HELLO: lambda _: struct.pack("<3B25x", *version),
                    _DEVICE_COUNT: lambda _: struct.pack("<I", len(free)),
                    _DEVICE_MEMORY: lambda device: struct.pack("<QQ", free[struct.unpack("<I", device)[0]], 1 << 40),
                }[command](content)
                writer.write(struct.pack("<Q", len(said)) + said)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    running.endpoint = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield running
    finally:
        running.is_free.set()
        server.close()
        await server.wait_closed()
