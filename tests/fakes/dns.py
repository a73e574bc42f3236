"""A name server that knows one name, with as many addresses as a test wants."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address

_A = 1


class FakeDns:
    """Answers every question for an IPv4 address with the same addresses, which may change."""

    def __init__(self, addresses: list[str], ttl: int) -> None:
        self.addresses = addresses
        self._ttl = ttl
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])

    @contextmanager
    def serve(self) -> Iterator[None]:
        """Answers until the end."""
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield
        finally:
            self._socket.sendto(b"", ("127.0.0.1", self.port))
            thread.join(5)
            self._socket.close()

    def _run(self) -> None:
        while True:
            query, caller = self._socket.recvfrom(512)
            if not query:
                return
            self._socket.sendto(self._answer(query), caller)

    def _answer(self, query: bytes) -> bytes:
        """Returns the reply (RFC 1035, 4.1): header, the question again, and a record for each address."""
        end = query.index(b"\0", 12) + 5
        (kind,) = struct.unpack_from(">H", query, end - 4)
        addresses = self.addresses if kind == _A else []
        header = query[:2] + struct.pack(">HHHHH", 0x8580, 1, len(addresses), 0, 0)
        record = struct.pack(">HHHIH", 0xC00C, _A, 1, self._ttl, 4)
        return header + query[12:end] + b"".join(record + IPv4Address(each).packed for each in addresses)
