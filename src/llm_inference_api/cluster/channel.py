"""The way of a request's parts from a replica to the server that asked: a TCP connection of theirs, beside Ray.

A stream of Ray's stores each item as an object of its own, which costs both ends more than a token of a small model.
So Ray chooses the replica, takes the request there and says when the call has ended; what the replica says meanwhile is
pushed to the server's `Inbox`. A connection begins with the inbox's secret, which Ray has carried to the replica; a
message is its length, the request's number and a pickle. Where Ray uses TLS (`RAY_USE_TLS`), so do these connections,
with the same certificates.
"""

import asyncio
import hmac
import logging
import os
import pickle
import secrets
import ssl
import struct
from collections.abc import Callable
from itertools import count
from typing import Any, NamedTuple

_HEAD = struct.Struct("!IQ")
"""Length of the pickle in bytes, and the request's number."""
_SECRET_BYTES = 32
_UNSENT = 1 << 20
"""Bytes that wait for a slow server; a replica's request joins what it says from then on."""

Receive = Callable[[Any], None]

logger = logging.getLogger(__name__)


class ReplicaAddress(NamedTuple):
    """Where the parts of a request are sent."""

    host: str
    port: int
    secret: bytes
    request: int
    """Number of the request among those of the inbox."""


class Inbox:
    """Receives the parts of a server's requests. Not thread-safe: for the event loop's thread."""

    def __init__(self, host: str) -> None:
        """Creates the inbox, which `start` opens, on the address by which the cluster's machines reach this one."""
        self._host, self._port = host, 0
        self._secret = secrets.token_bytes(_SECRET_BYTES)
        self._numbers = count()
        self._receivers: dict[int, Receive] = {}
        self._connections: set[_Incoming] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listens on a free port. Raises OSError if the address is not this machine's, or a certificate is missing."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Incoming(self), self._host, 0, ssl=_tls(ssl.Purpose.CLIENT_AUTH)
        )
        self._port = self._server.sockets[0].getsockname()[1]

    def open(self, receive: Receive) -> ReplicaAddress:
        """Returns the address of a new request, whose parts are handed over in order until `close`."""
        number = next(self._numbers)
        self._receivers[number] = receive
        return ReplicaAddress(self._host, self._port, self._secret, number)

    def close(self, address: ReplicaAddress) -> None:
        """Drops what still comes for a request."""
        self._receivers.pop(address.request, None)

    async def stop(self) -> None:
        """Closes all connections."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._connections):
            connection.close()
        await self._server.wait_closed()

    def admits(self, secret: bytes) -> bool:
        """Returns whether a connection comes from a replica that got the secret."""
        return hmac.compare_digest(secret, self._secret)

    def receive(self, number: int, part: object) -> None:
        """Hands a part to its request, if that is still open."""
        if (receive := self._receivers.get(number)) is not None:
            receive(part)

    def opened(self, connection: "_Incoming") -> None:
        """Counts a connection among those that `stop` closes."""
        self._connections.add(connection)

    def closed(self, connection: "_Incoming") -> None:
        """Forgets a connection."""
        self._connections.discard(connection)


class _Incoming(asyncio.Protocol):
    """A replica's connection."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._received = bytearray()
        self._is_admitted = False
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._inbox.opened(self)

    def connection_lost(self, _: Exception | None) -> None:
        self._inbox.closed(self)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._is_admitted and not self._admit():
            return
        at = 0
        while (start := at + _HEAD.size) <= len(self._received):
            length, number = _HEAD.unpack_from(self._received, at)
            if (end := start + length) > len(self._received):
                break
            self._inbox.receive(number, pickle.loads(self._received[start:end]))  # noqa: S301 - a replica's
            at = end
        del self._received[:at]

    def close(self) -> None:
        assert self._transport is not None
        self._transport.close()

    def _admit(self) -> bool:
        if len(self._received) < _SECRET_BYTES:
            return False
        self._is_admitted = self._inbox.admits(bytes(self._received[:_SECRET_BYTES]))
        if not self._is_admitted:
            logger.warning("a connection to the cluster's port did not begin with its secret")
            self.close()
            self._received.clear()
            return False
        del self._received[:_SECRET_BYTES]
        return True


class Outlets:
    """A replica's connections to the servers that have asked it, one to each."""

    def __init__(self) -> None:
        self._writers: dict[tuple[str, int, bytes], asyncio.Task[asyncio.StreamWriter]] = {}

    async def send(self, address: ReplicaAddress, part: object) -> None:
        """Sends a part; waits while the server is slow to take others.

        Raises:
            OSError: The server cannot be reached.
        """
        writer = await self._writer(address)
        said = pickle.dumps(part, protocol=pickle.HIGHEST_PROTOCOL)
        writer.write(_HEAD.pack(len(said), address.request) + said)
        await writer.drain()

    async def close(self) -> None:
        """Closes all connections, once what was sent is on its way."""
        for opening in self._writers.values():
            if opening.done() and not opening.cancelled() and opening.exception() is None:
                opening.result().close()
            else:
                opening.cancel()
        self._writers.clear()

    async def _writer(self, address: ReplicaAddress) -> asyncio.StreamWriter:
        server = address[:3]
        opening = self._writers.get(server)
        if opening is None or (opening.done() and not _is_open(opening)):
            opening = self._writers[server] = asyncio.create_task(_connected(address))
        return await asyncio.shield(opening)  # Others wait for it too.


def _is_open(opening: asyncio.Task[asyncio.StreamWriter]) -> bool:
    return not opening.cancelled() and opening.exception() is None and not opening.result().is_closing()


async def _connected(address: ReplicaAddress) -> asyncio.StreamWriter:
    _, writer = await asyncio.open_connection(address.host, address.port, ssl=_tls(ssl.Purpose.SERVER_AUTH))
    writer.transport.set_write_buffer_limits(high=_UNSENT)
    writer.write(address.secret)
    return writer


def _tls(purpose: ssl.Purpose) -> ssl.SSLContext | None:
    """Returns what Ray's own connections use, by its variables; None without TLS.

    Raises:
        OSError: A certificate cannot be read.
    """
    if os.environ.get("RAY_USE_TLS", "0").lower() not in {"1", "true"}:
        return None
    files = {name: os.environ.get(f"RAY_TLS_{name}") for name in ("SERVER_CERT", "SERVER_KEY", "CA_CERT")}
    context = ssl.create_default_context(purpose, cafile=files["CA_CERT"])
    context.check_hostname = False  # Ray's certificates name no machine; who has one of this authority is in.
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(str(files["SERVER_CERT"]), files["SERVER_KEY"])
    return context
