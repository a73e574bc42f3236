"""Prometheus metrics: RPCs, requests, tokens, steps and the state of the models."""

import threading

from prometheus_client import (
    CollectorRegistry,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from llm_inference_api.observability.batch_metrics import BatchMetrics
from llm_inference_api.observability.metric_group import PREFIX, REQUEST_SECONDS, TOKEN_SECONDS, MetricGroup
from llm_inference_api.observability.step_metrics import StepMetrics
from llm_inference_api.requests.events import Usage
from llm_inference_api.requests.model_status import ModelStatus, Observer, State
from llm_inference_api.requests.step import StepStats


class Metrics(Observer):
    """All metrics of the service, in a registry of their own."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, version: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # Omits the unused `_created` series.
        self.registry = CollectorRegistry()
        self._process = ProcessCollector(namespace=PREFIX, registry=None)
        self.registry.register(self._process)
        self._service, self._requests, self._models, self._background = (MetricGroup(self.registry) for _ in range(4))
        self._steps = StepMetrics(self.registry)
        self.batches = BatchMetrics(self._background)
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

    def text(self) -> bytes:
        """Returns all metrics in Prometheus's text format. What has not changed since the last time costs nothing."""
        with self._rendering:
            groups = (self._service, self._requests, self._models, self._steps, self._background)
            parts = [group.text() for group in groups]
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
        self.generated_in_background(model, finish_reason, usage)
        self._generation_seconds.labels(model).observe(seconds)
        if usage.completion_tokens > 1:
            self._token_seconds.labels(model).observe(decode_seconds / (usage.completion_tokens - 1))
        self._requests.changed()

    def generated_in_background(self, model: str, finish_reason: str, usage: Usage) -> None:
        """Same as `generated`, without the times: it has waited for others."""
        self._generations.labels(model, finish_reason).inc()
        self._request_prompt_tokens.labels(model).observe(usage.prompt_tokens)
        self._request_completion_tokens.labels(model).observe(usage.completion_tokens)
        self._reasoning_tokens.labels(model).inc(usage.reasoning_tokens)
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
        self._note_download(status)
        if status.info is not None:
            self._slots.labels(status.id).set(status.info.slots)
            self._kv_cells.labels(status.id).set(status.info.cache_tokens)
        # Also before the first load: load balancers and autoscalers read its gauges.
        self._steps.process_changed(status.id, status.info and status.info.cache_tokens)
        for group in (self._requests, self._models):
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
        """See `Observer`."""
        self._steps.awaits_load(model, requests)

    def loaded(self, model: str, seconds: float) -> None:
        """See `Observer`."""
        self._load_seconds.labels(model).observe(seconds)
        self._models.changed()

    def crashed(self, model: str) -> None:
        """See `Observer`."""
        self._crashes.labels(model).inc()
        self._models.changed()

    def stepped(self, model: str, stats: StepStats) -> None:
        """See `Observer`."""
        self._steps.stepped(model, stats)

    def _define_requests(self) -> None:
        group = self._requests
        self._rpcs = group.counter("rpcs", "Ended RPCs, by gRPC status.", "method", "code")
        self._rpc_seconds = group.histogram("rpc_seconds", "Duration of an RPC.", REQUEST_SECONDS, "method")
        self._generations = group.counter(
            "generations", "Generations that ended with a finish reason.", "model", "finish_reason"
        )
        self._generation_seconds = group.histogram(
            "generation_seconds", "From a request's arrival to the end of its answer.", REQUEST_SECONDS, "model"
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
            "time_to_first_token_seconds", "From a request's arrival to its first text.", TOKEN_SECONDS, "model"
        )
        self._token_seconds = group.histogram(
            "time_per_output_token_seconds", "Mean time between tokens of an answer.", TOKEN_SECONDS, "model"
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
        self._crashes = group.counter("worker_crashes", "Crashes of the model's process.", "model")
        self._load_seconds = group.histogram("load_seconds", "Duration of a load.", REQUEST_SECONDS, "model")
