"""`/metrics` on a port of its own, for a Prometheus that shall not go through Envoy."""

import socket
from typing import TYPE_CHECKING

from prometheus_client import start_http_server

from llm_inference_api.errors import StartError
from llm_inference_api.observability.metrics import Metrics

if TYPE_CHECKING:
    from threading import Thread
    from wsgiref.simple_server import WSGIServer


class MetricsPort:
    """A server that a thread of its own runs: it answers also while the event loop does not."""

    def __init__(self, metrics: Metrics, hostname: str, port: int) -> None:
        self._metrics = metrics
        self._address = (hostname, port)
        self._running: tuple[WSGIServer, Thread] | None = None

    def start(self) -> None:
        """Listens. Raises StartError where the port cannot be had."""
        hostname, port = self._address
        try:
            address = str(socket.getaddrinfo(hostname, port, type=socket.SOCK_STREAM)[0][4][0])
            self._running = start_http_server(port, address, self._metrics.registry)
        except OSError as error:
            problem = f"LLM_METRICS_PORT: {hostname}:{port} cannot be listened on ({error.strerror}); is it in use?"
            raise StartError(problem) from error

    def stop(self) -> None:
        """Closes the port; one that is not open stays so."""
        if self._running is not None:
            server, thread = self._running
            server.shutdown()
            server.server_close()
            thread.join()
            self._running = None
