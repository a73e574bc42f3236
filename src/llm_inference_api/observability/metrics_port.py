"""`/metrics` on a separate HTTP port, for scraping without Envoy."""

import socket
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from llm_inference_api.errors import listen_error
from llm_inference_api.network import addresses_of
from llm_inference_api.observability.metrics import Metrics

_IDLE = 60
"""Seconds after which a connection without a request is closed."""


class MetricsPort:
    """An HTTP server for each address in a thread of its own, which answers even if the event loop is blocked."""

    def __init__(self, metrics: Metrics, hostnames: Sequence[str], port: int) -> None:
        self._metrics = metrics
        self._hostnames = hostnames
        self._port = port
        self._running: list[tuple[_Server, Thread]] = []

    def start(self) -> None:
        """Starts listening. Raises StartError if the port cannot be bound."""
        for hostname in self._hostnames:
            try:
                for address in addresses_of(hostname):
                    server = _Server(self._metrics, address, self._port)
                    thread = Thread(target=server.serve_forever, daemon=True)
                    thread.start()
                    self._running.append((server, thread))
            except OSError as error:
                raise listen_error("LLM_METRICS_PORT", hostname, self._port, error) from error

    def stop(self) -> None:
        """Closes the ports that are open and joins their threads."""
        while self._running:
            server, thread = self._running.pop()
            server.shutdown()
            server.server_close()
            thread.join()


class _Server(ThreadingHTTPServer):
    block_on_close = False  # A scraper's open connection does not hold up the end.

    def __init__(self, metrics: Metrics, address: str, port: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, port), partial(_Handler, metrics))


class _Handler(BaseHTTPRequestHandler):
    """Answers every path. Nothing is compressed, as that would take longer than all the rest."""

    protocol_version = "HTTP/1.1"  # A scraper that comes twice a second keeps its connection.
    timeout = _IDLE
    disable_nagle_algorithm = True

    def __init__(self, metrics: Metrics, *arguments: Any) -> None:
        self._metrics = metrics
        super().__init__(*arguments)

    def do_GET(self) -> None:
        """Answers with the metrics."""
        text = self._metrics.text()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", self._metrics.content_type)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the base class names it.
        """Logs nothing."""
