"""`/metrics` on a separate HTTP port, for scraping without Envoy."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from prometheus_client import start_http_server

from llm_inference_api.errors import listen_error
from llm_inference_api.network import addresses_of
from llm_inference_api.observability.metrics import Metrics

if TYPE_CHECKING:
    from threading import Thread
    from wsgiref.simple_server import WSGIServer


class MetricsPort:
    """An HTTP server for each address in a thread of its own, which answers even if the event loop is blocked."""

    def __init__(self, metrics: Metrics, hostnames: Sequence[str], port: int) -> None:
        self._metrics = metrics
        self._hostnames = hostnames
        self._port = port
        self._running: list[tuple[WSGIServer, Thread]] = []

    def start(self) -> None:
        """Starts listening. Raises StartError if the port cannot be bound."""
        for hostname in self._hostnames:
            try:
                for address in addresses_of(hostname):
                    self._running.append(start_http_server(self._port, address, self._metrics.registry))
            except OSError as error:
                raise listen_error("LLM_METRICS_PORT", hostname, self._port, error) from error

    def stop(self) -> None:
        """Closes the ports that are open and joins their threads."""
        while self._running:
            server, thread = self._running.pop()
            server.shutdown()
            server.server_close()
            thread.join()
