"""Metrics that change together, and their text, which is rendered again only after a change."""

from collections.abc import Callable, Iterator
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

PREFIX = "llm_inference"
REQUEST_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""Histogram buckets in seconds, those of OpenTelemetry's gen_ai.server.request.duration."""
TOKEN_SECONDS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 2.0, 6.0, 10.0)
"""Histogram buckets in seconds to the first token and between tokens, after OpenTelemetry's gen_ai.server.*."""
_M = TypeVar("_M", Counter, Gauge, Histogram)


class MetricGroup(Collector):
    """Defines metrics in a registry and renders them; `changed` must be called after each change of one."""

    def __init__(self, registry: CollectorRegistry, refresh: Callable[[], None] = lambda: None) -> None:
        """Creates a group without metrics; `refresh` is called before they are rendered, to set what is set late."""
        self._registry = registry
        self._refresh = refresh
        self._collectors: list[Collector] = []
        self._text = b""
        self._is_rendered = False

    def counter(self, name: str, text: str, *labels: str) -> Counter:
        """Defines a counter."""
        return self._added(Counter(name, text, labels, namespace=PREFIX, registry=self._registry))

    def gauge(self, name: str, text: str, *labels: str) -> Gauge:
        """Defines a gauge."""
        return self._added(Gauge(name, text, labels, namespace=PREFIX, registry=self._registry))

    def histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        """Defines a histogram."""
        metric = Histogram(name, text, labels, namespace=PREFIX, buckets=buckets, registry=self._registry)
        return self._added(metric)

    def collect(self) -> Iterator[Metric]:
        """See `Collector`."""
        for collector in self._collectors:
            yield from collector.collect()

    def changed(self) -> None:
        """Has the next `text` render the metrics again."""
        self._is_rendered = False

    def text(self) -> bytes:
        """Returns the metrics in Prometheus's text format. Not for two threads at once."""
        if not self._is_rendered:
            self._is_rendered = True  # Before the values are read: what changes meanwhile is rendered the next time.
            self._refresh()
            self._text = generate_latest(self)
        return self._text

    def _added(self, metric: _M) -> _M:
        self._collectors.append(metric)
        return metric
