"""Metrics of the models' steps, and of the requests that wait for a slot or for a load."""

import time
from collections import defaultdict
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from llm_inference_api.observability.metric_group import REQUEST_SECONDS, TOKEN_SECONDS, MetricGroup
from llm_inference_api.requests.events import Stage
from llm_inference_api.requests.step import StepStats

_CANCEL_STAGES = {Stage.LOADING: "loading", Stage.QUEUED: "queue", Stage.PREFILL: "prefill", Stage.DECODE: "decode"}
_IDLE = StepStats()


@dataclass
class _ModelSteps:
    """What is known of one model."""

    last: StepStats = _IDLE
    """What the model's process last reported."""
    cells: int = 0
    """Capacity of its key-value cache in tokens."""
    awaiting_load: int = 0
    """Requests that wait for the process."""
    awaits_load_since: float = 0.0
    """Time of the monotonic clock since which requests have waited for it."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    counted: tuple[int, int, int] = (0, 0, 0)
    """The three above when the metrics were last read."""
    is_read: bool = False
    """Whether the metrics are those of this object."""


class StepMetrics:
    """Metrics that change with each step. All but histograms are set when they are read, which is far less often."""

    def __init__(self, registry: CollectorRegistry) -> None:
        group = self._group = MetricGroup(registry, self._refresh)
        self._models: defaultdict[str, _ModelSteps] = defaultdict(_ModelSteps)
        self._cancelled = group.counter("cancelled", "Cancelled requests, by stage.", "model", "stage")
        self._queue_seconds = group.histogram(
            "queue_seconds", "From a request's arrival to its slot.", REQUEST_SECONDS, "model"
        )
        self._step_seconds = group.histogram("step_seconds", "Duration of a step.", TOKEN_SECONDS, "model")
        self._step_tokens = group.histogram(
            "step_tokens", "Tokens computed in a step.", tuple(2.0**power for power in range(11)), "model"
        )
        self._running = group.gauge("requests_running", "Requests that have a slot.", "model")
        self._waiting = group.gauge(
            "requests_waiting", "Requests that wait for a slot, or for their model to be loaded.", "model"
        )
        self._oldest_waiting = group.gauge(
            "queue_oldest_seconds", "Time that the oldest of the waiting requests has waited.", "model"
        )
        self._kv_used = group.gauge("kv_cells_used", "Tokens in the cache that running requests hold.", "model")
        self._kv_cached = group.gauge("kv_cells_cached", "Tokens in the cache retained for prefix reuse.", "model")
        self._kv_usage = group.gauge(
            "kv_cache_usage_ratio", "Fraction of the cache that running requests hold, 0 to 1.", "model"
        )
        self._stored_tokens = group.gauge(
            "prefix_store_tokens", "Tokens of ended requests outside of the cache.", "model"
        )
        self._stored_bytes = group.gauge("prefix_store_bytes", "Memory of these, in bytes.", "model")
        self._resident = group.gauge("worker_resident_bytes", "Resident memory of the model's process.", "model")
        self._prompt_tokens = group.counter("prompt_tokens", "Prompt tokens, including cached ones.", "model")
        self._cached_tokens = group.counter("cached_tokens", "Prompt tokens found in the cache.", "model")
        self._completion_tokens = group.counter("completion_tokens", "Generated tokens.", "model")

    def process_changed(self, model: str, cells: int | None) -> None:
        """Notes the capacity of the model's key-value cache in tokens; None if no process holds the model."""
        steps = self._models[model]
        steps.cells = cells or 0
        if cells is None:
            steps.last = _IDLE
        self._changed(steps)

    def awaits_load(self, model: str, requests: int) -> None:
        """Notes the number of requests that the model's process does not know of; it reports its own."""
        steps = self._models[model]
        if requests and not steps.awaiting_load:
            steps.awaits_load_since = time.monotonic()
        steps.awaiting_load = requests
        self._changed(steps)

    def stepped(self, model: str, stats: StepStats) -> None:
        """Counts a step."""
        steps = self._models[model]
        steps.last = stats
        steps.prompt_tokens += stats.prompt_tokens + stats.cached_tokens
        steps.cached_tokens += stats.cached_tokens
        steps.completion_tokens += stats.completion_tokens
        rows = stats.prompt_tokens + stats.completion_tokens
        if rows:
            self._step_seconds.labels(model).observe(stats.seconds)
            self._step_tokens.labels(model).observe(rows)
        for seconds in stats.queue_seconds:
            self._queue_seconds.labels(model).observe(max(seconds, 0.0))
        for stage in stats.cancelled:
            self._cancelled.labels(model, _CANCEL_STAGES[stage]).inc()
        self._changed(steps)

    def text(self) -> bytes:
        """Returns the metrics in Prometheus's text format. Not for two threads at once."""
        for steps in list(self._models.values()):
            if steps.awaiting_load:
                self._changed(steps)  # They have waited for longer than the last time.
        return self._group.text()

    def _changed(self, steps: _ModelSteps) -> None:
        steps.is_read = False
        self._group.changed()

    def _refresh(self) -> None:
        for model, steps in list(self._models.items()):
            if not steps.is_read:
                steps.is_read = True  # Before the values are read, see `MetricGroup.text`.
                self._set(model, steps)

    def _set(self, model: str, steps: _ModelSteps) -> None:
        last, awaiting = steps.last, steps.awaiting_load
        oldest = time.monotonic() - steps.awaits_load_since if awaiting else last.oldest_waiting
        gauges = {
            self._running: last.running,
            self._waiting: last.waiting + awaiting,
            self._oldest_waiting: oldest,
            self._kv_used: last.kv_used,
            self._kv_cached: last.kv_cached,
            self._kv_usage: last.kv_used / max(steps.cells, 1),
            self._stored_tokens: last.stored_tokens,
            self._stored_bytes: last.stored_bytes,
            self._resident: last.resident_bytes,
        }
        for gauge, value in gauges.items():
            gauge.labels(model).set(value)
        counters = (self._prompt_tokens, self._cached_tokens, self._completion_tokens)
        totals = (steps.prompt_tokens, steps.cached_tokens, steps.completion_tokens)
        for counter, total, counted in zip(counters, totals, steps.counted, strict=True):
            counter.labels(model).inc(total - counted)
        steps.counted = totals
