"""Metrics of batches."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from llm_inference_api.observability.metric_group import MetricGroup


class BatchMetrics:
    """Batches by state, their lines, and the size of their store."""

    def __init__(self, group: MetricGroup) -> None:
        self._group = group
        self._batches = group.gauge("batches", "Batches in the store, by OpenAI's state.", "status")
        self._lines = group.counter("batch_lines", "Lines of batches that were computed.", "outcome")
        self._running = group.gauge("batch_lines_running", "Lines of batches that a model has, or that wait for one.")
        self._bytes = group.gauge("batch_store_bytes", "Bytes of the files in the store of batches.")
        for outcome in _OUTCOMES.values():
            self._lines.labels(outcome)

    @contextmanager
    def running_line(self) -> Iterator[None]:
        """Counts a line as running for the block."""
        self._running.inc()
        self._group.changed()
        try:
            yield
        finally:
            self._running.dec()
            self._group.changed()

    def answered(self, *, is_error: bool) -> None:
        """Counts a line that was computed, or that has failed."""
        self._lines.labels(_OUTCOMES[is_error]).inc()
        self._group.changed()

    def stored(self, counts: Mapping[str, int], size: int) -> None:
        """Sets the number of batches by state, and the bytes of all files."""
        for status, count in counts.items():
            self._batches.labels(status).set(count)
        self._bytes.set(size)
        self._group.changed()


_OUTCOMES = {False: "completed", True: "failed"}
