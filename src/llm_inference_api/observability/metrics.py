"""Prometheus metrics: RPCs, requests, tokens, steps and the state of the models."""

import threading
import time
from typing import Any, NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from llm_inference_api.observability.metric_group import PREFIX, MetricGroup
from llm_inference_api.requests.events import Stage, Usage
from llm_inference_api.requests.model_status import ModelStatus, Observer, State
from llm_inference_api.requests.step import StepStats

_REQUEST_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""Histogram buckets in seconds, those of OpenTelemetry's gen_ai.server.request.duration."""
_TOKEN_SECONDS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 2.0, 6.0, 10.0)
"""Histogram buckets in seconds to the first token and between tokens, after OpenTelemetry's gen_ai.server.*."""
_IDLE = StepStats()


class _StepSeries(NamedTuple):
    """One model's label children of the metrics that each step updates."""

    prompt_tokens: Counter
    cached_tokens: Counter
    completion_tokens: Counter
    running: Gauge
    waiting: Gauge
    kv_used: Gauge
    kv_cached: Gauge
    kv_usage: Gauge
    stored_tokens: Gauge
    stored_bytes: Gauge
    oldest_waiting: Gauge
    resident: Gauge
    step_seconds: Histogram
    step_tokens: Histogram


class Metrics(Observer):
    """All metrics of the service, in a registry of their own."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, version: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # Omits the unused `_created` series.
        self.registry = CollectorRegistry()
        self._process = ProcessCollector(namespace=PREFIX, registry=None)
        self.registry.register(self._process)
        self._service, self._requests, self._models, self._work = (MetricGroup(self.registry) for _ in range(4))
        self._rendering = threading.Lock()
        build_info = self._service.gauge("build_info", "Always 1; the label is the running version.", "version")
        build_info.labels(version).set(1)
        self._draining = self._service.gauge("draining", "Whether the service is stopping.")
        self._in_flight = self._service.gauge("rpcs_in_flight", "RPCs in flight, without health checks.")
        self._spans_lost = self._service.counter("spans_lost", "Spans that did not reach the collector.")
        self._envoy_refusals = self._service.counter(
            "envoy_refusals", "Requests that Envoy has refused, such as for an unknown path, by HTTP status.", "status"
        )
        self._define_requests()
        self._define_models()
        self._define_steps()

    def text(self) -> bytes:
        """Returns all metrics in Prometheus's text format. What has not changed since the last time costs nothing."""
        with self._rendering:
            now = time.monotonic()
            for model, since in list(self._awaits_load_since.items()):
                self._oldest_waiting.labels(model).set(now - since)
                self._work.changed()
            parts = [group.text() for group in (self._service, self._requests, self._models, self._work)]
            return b"".join((generate_latest(self._process), *parts))

    def rpc_started(self) -> None:
        """Counts an RPC as in flight."""
        self._in_flight.inc()
        self._service.changed()

    def rpc_ended(self, method: str, code: str, seconds: float) -> None:
        """Counts an ended RPC by the gRPC status that its caller receives."""
        self._in_flight.dec()
        self._rpcs.labels(method, code).inc()
        self._rpc_seconds.labels(method).observe(seconds)
        self._service.changed()
        self._requests.changed()

    def first_token(self, model: str, seconds: float) -> None:
        """Observes the time from a request's arrival to its first text."""
        self._first_token.labels(model).observe(seconds)
        self._requests.changed()

    def generated(self, model: str, finish_reason: str, usage: Usage, seconds: float, decode_seconds: float) -> None:
        """Counts a generation that ended with a finish reason.

        Args:
            model: Id of the model.
            finish_reason: Why the generation ended.
            usage: Its tokens.
            seconds: Time from its arrival to its end.
            decode_seconds: Time from its first text to its last.
        """
        self._generations.labels(model, finish_reason).inc()
        self._generation_seconds.labels(model).observe(seconds)
        self._request_prompt_tokens.labels(model).observe(usage.prompt_tokens)
        self._request_completion_tokens.labels(model).observe(usage.completion_tokens)
        self._reasoning_tokens.labels(model).inc(usage.reasoning_tokens)
        if usage.completion_tokens > 1:
            self._token_seconds.labels(model).observe(decode_seconds / (usage.completion_tokens - 1))
        self._requests.changed()

    def failed(self, model: str, code: str) -> None:
        """Counts a generation, or a request for embeddings or to rank, that failed with this gRPC status."""
        self._failures.labels(model, code).inc()
        self._requests.changed()

    def embedded(self, model: str, tokens: int) -> None:
        """Counts an answered request for embeddings, and its tokens."""
        self._embeddings.labels(model).inc()
        self._embedding_tokens.labels(model).inc(tokens)
        self._requests.changed()

    def ranked(self, model: str, tokens: int) -> None:
        """Counts an answered request to rank, and its tokens."""
        self._rankings.labels(model).inc()
        self._ranking_tokens.labels(model).inc(tokens)
        self._requests.changed()

    def classified(self, model: str, tokens: int) -> None:
        """Counts a classified text, and its tokens."""
        self._classifications.labels(model).inc()
        self._classification_tokens.labels(model).inc(tokens)
        self._requests.changed()

    def rejected(self, model: str, reason: str) -> None:
        """Counts a refused request."""
        self._rejected.labels(model, reason).inc()
        self._requests.changed()

    def spans_lost(self, count: int) -> None:
        """Counts spans that did not reach the collector."""
        self._spans_lost.inc(count)
        self._service.changed()

    def refused_by_envoy(self, status: str) -> None:
        """Counts a request that Envoy has refused itself, with this HTTP status."""
        self._envoy_refusals.labels(status).inc()
        self._service.changed()

    def draining(self) -> None:
        """Marks the service as stopping."""
        self._draining.set(1)
        self._service.changed()

    def status_changed(self, status: ModelStatus) -> None:
        """See `Observer`."""
        for state in State:
            self._state.labels(status.id, state.value).set(state is status.state)
        self._memory.labels(status.id).set(status.memory)
        # Created at 0, as `increase()` misses the first increment of a series that appears with it.
        self._crashes.labels(status.id)
        self._rejected.labels(status.id, "overloaded")
        for gauge in (self._running, self._waiting, self._kv_usage):
            gauge.labels(status.id)  # Likewise: load balancers and autoscalers read them before the first load.
        self._note_download(status)
        if status.info is not None:
            self._slots.labels(status.id).set(status.info.slots)
            self._kv_cells.labels(status.id).set(status.info.cache_tokens)
            self._cells[status.id] = status.info.cache_tokens
        else:
            self._last_steps.pop(status.id, None)
            self._waiting.labels(status.id).set(self._awaiting_load.get(status.id, 0))
            held = (self._kv_used, self._kv_cached, self._kv_usage, self._stored_tokens, self._stored_bytes)
            for gauge in (self._running, *held, self._resident):
                gauge.labels(status.id).set(0)  # No process is there that could report them.
        for group in (self._requests, self._models, self._work):
            group.changed()

    def _note_download(self, status: ModelStatus) -> None:
        """Counts the bytes since the last update; bytes that an earlier download left are not counted."""
        if status.state is not State.DOWNLOADING or status.progress is None:
            self._downloaded.pop(status.id, None)
            return
        done = status.progress.done
        self._download_bytes.labels(status.id).inc(max(done - self._downloaded.get(status.id, done), 0))
        self._downloaded[status.id] = done

    def awaits_load(self, model: str, requests: int) -> None:
        """See `Observer`. The model's process does not know of these requests, and reports its own."""
        self._awaiting_load[model] = requests
        last = self._last_steps.get(model, _IDLE)
        self._waiting.labels(model).set(last.waiting + requests)
        if requests:
            self._awaits_load_since.setdefault(model, time.monotonic())
        elif self._awaits_load_since.pop(model, None) is not None:
            self._oldest_waiting.labels(model).set(last.oldest_waiting)
        self._work.changed()

    def loaded(self, model: str, seconds: float) -> None:
        """See `Observer`."""
        self._load_seconds.labels(model).observe(seconds)
        self._models.changed()

    def crashed(self, model: str) -> None:
        """See `Observer`."""
        self._crashes.labels(model).inc()
        self._models.changed()

    def stepped(self, model: str, stats: StepStats) -> None:
        """See `Observer`. Called for each step, so children are cached: `labels` takes a lock each time."""
        series = self._steps.get(model) or self._new_step_series(model)
        series.prompt_tokens.inc(stats.prompt_tokens + stats.cached_tokens)
        series.cached_tokens.inc(stats.cached_tokens)
        series.completion_tokens.inc(stats.completion_tokens)
        series.running.set(stats.running)
        self._last_steps[model] = stats
        series.waiting.set(stats.waiting + self._awaiting_load.get(model, 0))
        series.kv_used.set(stats.kv_used)
        series.kv_cached.set(stats.kv_cached)
        series.kv_usage.set(stats.kv_used / max(self._cells.get(model, 0), 1))
        series.stored_tokens.set(stats.stored_tokens)
        series.stored_bytes.set(stats.stored_bytes)
        series.oldest_waiting.set(stats.oldest_waiting)
        series.resident.set(stats.resident_bytes)
        rows = stats.prompt_tokens + stats.completion_tokens
        if rows:
            series.step_seconds.observe(stats.seconds)
            series.step_tokens.observe(rows)
        for seconds in stats.queue_seconds:
            self._queue_seconds.labels(model).observe(max(seconds, 0.0))
        for stage in stats.cancelled:
            self._cancelled.labels(model, _CANCEL_STAGES[stage]).inc()
        self._work.changed()

    def _new_step_series(self, model: str) -> "_StepSeries":
        metrics = (
            self._prompt_tokens,
            self._cached_tokens,
            self._completion_tokens,
            self._running,
            self._waiting,
            self._kv_used,
            self._kv_cached,
            self._kv_usage,
            self._stored_tokens,
            self._stored_bytes,
            self._oldest_waiting,
            self._resident,
            self._step_seconds,
            self._step_tokens,
        )
        children: Any = [metric.labels(model) for metric in metrics]
        found = self._steps[model] = _StepSeries(*children)
        return found

    def _define_requests(self) -> None:
        group = self._requests
        self._rpcs = group.counter("rpcs", "Ended RPCs, by gRPC status.", "method", "code")
        self._rpc_seconds = group.histogram("rpc_seconds", "Duration of an RPC.", _REQUEST_SECONDS, "method")
        self._generations = group.counter(
            "generations", "Generations that ended with a finish reason.", "model", "finish_reason"
        )
        self._generation_seconds = group.histogram(
            "generation_seconds", "From a request's arrival to the end of its answer.", _REQUEST_SECONDS, "model"
        )
        self._failures = group.counter(
            "failures", "Generations, requests for embeddings and to rank that failed, by gRPC status.", "model", "code"
        )
        self._rejected = group.counter(
            "rejected", "Refused requests: queue full, too long, too complex, or present in crashes.", "model", "reason"
        )
        tokens = tuple(4.0**power for power in range(9))
        self._embeddings = group.counter("embeddings", "Answered requests for embeddings.", "model")
        self._embedding_tokens = group.counter("embedding_tokens", "Tokens of embedded texts.", "model")
        self._rankings = group.counter("rankings", "Answered requests to rank.", "model")
        self._ranking_tokens = group.counter("ranking_tokens", "Tokens of ranked texts, with their query.", "model")
        self._classifications = group.counter("classifications", "Texts classified by a model's labels.", "model")
        self._classification_tokens = group.counter("classification_tokens", "Tokens of classified texts.", "model")
        self._request_prompt_tokens = group.histogram(
            "request_prompt_tokens", "Prompt tokens of a request.", tokens, "model"
        )
        self._request_completion_tokens = group.histogram(
            "request_completion_tokens", "Generated tokens of a request.", tokens, "model"
        )
        self._reasoning_tokens = group.counter(
            "reasoning_tokens", "Tokens of thoughts in answers that have ended.", "model"
        )
        self._first_token = group.histogram(
            "time_to_first_token_seconds", "From a request's arrival to its first text.", _TOKEN_SECONDS, "model"
        )
        self._token_seconds = group.histogram(
            "time_per_output_token_seconds", "Mean time between tokens of an answer.", _TOKEN_SECONDS, "model"
        )

    def _define_models(self) -> None:
        group = self._models
        self._state = group.gauge("model_state", "1 for the model's current state, else 0.", "model", "state")
        self._slots = group.gauge("slots", "Maximum number of requests computed at once.", "model")
        self._kv_cells = group.gauge("kv_cells", "Capacity of the key-value cache in tokens.", "model")
        self._memory = group.gauge("model_memory_bytes", "Memory claimed for the model.", "model")
        self._download_bytes = group.counter("download_bytes", "Bytes downloaded from the hub.", "model")
        self._downloaded: dict[str, float] = {}
        """Bytes of each running download at its last update."""
        self._cells: dict[str, int] = {}
        self._crashes = group.counter("worker_crashes", "Crashes of the model's process.", "model")
        self._load_seconds = group.histogram("load_seconds", "Duration of a load.", _REQUEST_SECONDS, "model")

    def _define_steps(self) -> None:
        group = self._work
        self._steps: dict[str, _StepSeries] = {}
        self._running = group.gauge("requests_running", "Requests that have a slot.", "model")
        self._waiting = group.gauge(
            "requests_waiting", "Requests that wait for a slot, or for their model to be loaded.", "model"
        )
        self._last_steps: dict[str, StepStats] = {}
        """What each model's process last reported."""
        self._awaiting_load: dict[str, int] = {}
        """Requests that wait for each model's process."""
        self._awaits_load_since: dict[str, float] = {}
        """Time of the monotonic clock since which requests have waited for each model's load."""
        self._cancelled = group.counter("cancelled", "Cancelled requests, by stage.", "model", "stage")
        self._queue_seconds = group.histogram(
            "queue_seconds", "From a request's arrival to its slot.", _REQUEST_SECONDS, "model"
        )
        self._resident = group.gauge("worker_resident_bytes", "Resident memory of the model's process.", "model")
        self._oldest_waiting = group.gauge(
            "queue_oldest_seconds", "Time that the oldest of the waiting requests has waited.", "model"
        )
        self._kv_usage = group.gauge(
            "kv_cache_usage_ratio", "Fraction of the cache that running requests hold, 0 to 1.", "model"
        )
        self._kv_used = group.gauge("kv_cells_used", "Tokens in the cache that running requests hold.", "model")
        self._kv_cached = group.gauge("kv_cells_cached", "Tokens in the cache retained for prefix reuse.", "model")
        self._stored_tokens = group.gauge(
            "prefix_store_tokens", "Tokens of ended requests outside of the cache.", "model"
        )
        self._stored_bytes = group.gauge("prefix_store_bytes", "Memory of these, in bytes.", "model")
        self._prompt_tokens = group.counter("prompt_tokens", "Prompt tokens, including cached ones.", "model")
        self._cached_tokens = group.counter("cached_tokens", "Prompt tokens found in the cache.", "model")
        self._completion_tokens = group.counter("completion_tokens", "Generated tokens.", "model")
        self._step_seconds = group.histogram("step_seconds", "Duration of a step.", _TOKEN_SECONDS, "model")
        self._step_tokens = group.histogram(
            "step_tokens", "Tokens computed in a step.", tuple(2.0**power for power in range(11)), "model"
        )


_CANCEL_STAGES = {Stage.LOADING: "loading", Stage.QUEUED: "queue", Stage.PREFILL: "prefill", Stage.DECODE: "decode"}
