"""`/metrics` on a separate HTTP port, for scraping without Envoy."""

import socket
from typing import TYPE_CHECKING

from prometheus_client import start_http_server

from llm_inference_api.errors import listen_error
from llm_inference_api.observability.metrics import Metrics

if TYPE_CHECKING:
    from threading import Thread
    from wsgiref.simple_server import WSGIServer


class MetricsPort:
    """An HTTP server in its own thread, which answers even if the event loop is blocked."""

    def __init__(self, metrics: Metrics, hostname: str, port: int) -> None:
        self._metrics = metrics
        self._address = (hostname, port)
        self._running: tuple[WSGIServer, Thread] | None = None

    def start(self) -> None:
        """Starts listening. Raises StartError if the port cannot be bound."""
        hostname, port = self._address
        try:
            address = str(socket.getaddrinfo(hostname, port, type=socket.SOCK_STREAM)[0][4][0])
            self._running = start_http_server(port, address, self._metrics.registry)
        except OSError as error:
            raise listen_error("LLM_METRICS_PORT", hostname, port, error) from error

    def stop(self) -> None:
        """Closes the port and joins the thread; does nothing if it is not open."""
        if self._running is not None:
            server, thread = self._running
            server.shutdown()
            server.server_close()
            thread.join()
            self._running = None
