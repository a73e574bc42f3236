"""HTTP as no client library would send it."""

from collections.abc import Sequence
from http.client import HTTPResponse
from socket import create_connection
from typing import NamedTuple

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, ResponseReceived, StreamEnded, StreamReset, TrailersReceived

Headers = Sequence[tuple[bytes, bytes]]


class Answer(NamedTuple):
    """One response."""

    status: int
    headers: dict[str, str]
    """Headers and, over HTTP/2, trailers."""
    body: bytes


def send(port: int, request: bytes) -> Answer:
    """Sends these bytes on a new connection, and returns the response to the one request in them."""
    with create_connection(("127.0.0.1", port), 20) as connection:
        connection.sendall(request)
        response = HTTPResponse(connection, method=request.split(b" ", 1)[0].decode("latin-1"))
        response.begin()
        named = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, named, response.read())


def request(
    line: str, headers: Headers = (), *, host: bytes | None = b"localhost", body: bytes = b"", close: bool = True
) -> bytes:
    """Returns a request of HTTP/1.1 with this method and path."""
    fixed = [(b"host", host)] if host is not None else []
    fixed += [(b"connection", b"close")] if close else []
    fixed += [(b"content-length", str(len(body)).encode())] if body else []
    lines = (name + b": " + value for name, value in (*fixed, *headers))
    return b"\r\n".join([f"{line} HTTP/1.1".encode("latin-1"), *lines, b"", body])


def call(port: int, method: str, metadata: Headers) -> Answer:
    """Makes a gRPC call with an empty message and with these metadata, as they are."""
    fixed = [(b"content-type", b"application/grpc"), (b"te", b"trailers")]
    return over_http2(port, f"POST {method}", [*fixed, *metadata], bytes(5))


def over_http2(port: int, line: str, headers: Headers = (), body: bytes = b"") -> Answer:
    """Sends a request over HTTP/2, without TLS and without asking, and returns the response."""
    method, path = line.encode().split(b" ")
    pseudo = [(b":method", method), (b":path", path), (b":scheme", b"http"), (b":authority", b"localhost")]
    settings = H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False)
    client, status, said, data = H2Connection(settings), 0, dict[str, str](), b""
    client.initiate_connection()
    client.send_headers(1, [*pseudo, *headers], end_stream=not body)
    if body:
        client.send_data(1, body, end_stream=True)
    with create_connection(("127.0.0.1", port), 20) as connection:
        while True:
            connection.sendall(client.data_to_send())
            for event in client.receive_data(connection.recv(65536)):
                if isinstance(event, ResponseReceived | TrailersReceived):
                    said |= {name.decode(): value.decode() for name, value in event.headers}
                    status = int(said[":status"])
                elif isinstance(event, DataReceived):
                    data += event.data
                elif isinstance(event, StreamEnded):
                    return Answer(status, said, data)
                else:
                    assert not isinstance(event, StreamReset | ConnectionTerminated), event
