"""A gRPC client that starts streams and reads none of their messages, by HTTP/2's own frames."""

from collections.abc import Iterator
from contextlib import contextmanager
from socket import create_connection, socket
from time import monotonic

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import Event, StreamReset, TrailersReceived
from h2.settings import SettingCodes

_HEADERS = [(":method", "POST"), (":scheme", "http"), (":authority", "localhost"), ("te", "trailers")]


class StalledReader:
    """Streams on one connection, whose flow-control windows stay at 0."""

    def __init__(self, plain: socket) -> None:
        self._plain = plain
        self._http = H2Connection(H2Configuration(client_side=True))
        self._http.initiate_connection()
        self._http.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
        self._streams: list[int] = []
        self._events: list[Event] = []

    def start(self, method: str, message: bytes) -> None:
        """Starts one more stream of the method, a full name such as `/a.Service/Method`."""
        stream = self._http.get_next_available_stream_id()
        headers = [*_HEADERS, (":path", method), ("content-type", "application/grpc")]
        self._http.send_headers(stream, sorted(headers, key=lambda header: not header[0].startswith(":")))
        self._http.send_data(stream, b"\0" + len(message).to_bytes(4, "big") + message, end_stream=True)
        self._streams.append(stream)
        self._send()

    def open_windows(self) -> None:
        """Lets the server send 1 MB on each stream."""
        for stream in self._streams:
            self._http.increment_flow_control_window(1 << 20, stream)
        self._send()

    def statuses(self, seconds: float = 30.0) -> list[str]:
        """Returns the `grpc-status` of each stream, or `reset`, once all have ended. Raises TimeoutError."""
        deadline = monotonic() + seconds
        while len(ends := [end for event in self._events if (end := _end(event)) is not None]) < len(self._streams):
            self._plain.settimeout(max(deadline - monotonic(), 0.001))
            self._events += self._http.receive_data(self._plain.recv(1 << 16))
            self._send()
        return ends

    def _send(self) -> None:
        self._plain.sendall(self._http.data_to_send())


@contextmanager
def stalled_reader(port: int) -> Iterator[StalledReader]:
    """Yields a client that is connected to a port of this machine."""
    with create_connection(("127.0.0.1", port), 10) as plain:
        yield StalledReader(plain)


def _end(event: Event) -> str | None:
    if isinstance(event, StreamReset):
        return "reset"
    if isinstance(event, TrailersReceived):
        return dict(event.headers)[b"grpc-status"].decode()
    return None
