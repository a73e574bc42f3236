"""The state of a model that several replicas serve, and what their steps come to."""

from dataclasses import replace

from llm_inference_api.cluster.report import Report
from llm_inference_api.requests.model_status import ModelStatus, State
from llm_inference_api.requests.step import StepStats

_ORDER = (
    *(State.ACTIVE, State.LOADING, State.QUANTIZING, State.CONVERTING, State.DOWNLOADING),
    *(State.UNLOADED, State.FAILED, State.UNLOADING),
)
"""The model's state is the first one here that a replica has."""
SUMMED = ("running", "waiting", "kv_used", "kv_cached", "stored_tokens", "stored_bytes", "resident_bytes")
"""Gauges of a step that add up over replicas."""
_PREPARING = (State.LOADING, State.QUANTIZING, State.CONVERTING, State.DOWNLOADING)


class Summary:
    """The replicas of one model, by their reports."""

    def __init__(self) -> None:
        self._reports: dict[str, Report] = {}
        """The last one of each replica."""
        self._gauges: dict[str, StepStats] = {}

    def add(self, report: Report) -> None:
        """Takes a replica's report."""
        if report.status is None:
            self._reports.pop(report.replica, None)
            self._gauges.pop(report.replica, None)
        else:
            self._reports[report.replica] = report

    def clear(self) -> None:
        """Forgets all replicas."""
        self._reports.clear()
        self._gauges.clear()

    @property
    def _statuses(self) -> list[ModelStatus]:
        return [report.status for report in self._reports.values() if report.status is not None]

    @property
    def is_empty(self) -> bool:
        """Whether there are no replicas."""
        return not self._reports

    @property
    def is_ready(self) -> bool:
        """Whether a replica answers requests: it has the model, or was unable to load it, or may do so again."""
        return any(status.state not in _PREPARING for status in self._statuses)

    @property
    def awaits_load(self) -> int:
        """Number of requests that wait for room in some replica's memory."""
        return sum(report.awaits_load for report in self._reports.values())

    def has_build(self, build: str) -> bool:
        """Returns whether a replica serves this."""
        return any(report.build == build for report in self._reports.values())

    def status(self, otherwise: ModelStatus) -> ModelStatus:
        """Returns the model's status; without replicas, the given one."""
        if self.is_empty:
            return otherwise
        best = min(self._statuses, key=lambda status: _ORDER.index(status.state))
        return replace(best, memory=sum(status.memory for status in self._statuses))

    def step(self, replica: str, stats: StepStats) -> StepStats:
        """Returns the counters of one replica's step with the gauges of all replicas together."""
        self._gauges[replica] = stats
        return self.with_gauges(stats)

    def with_gauges(self, stats: StepStats) -> StepStats:
        """Returns the statistics with the gauges of all replicas together."""
        gauges = self._gauges.values()
        sums = {name: sum(getattr(each, name) for each in gauges) for name in SUMMED}
        return stats._replace(**sums, oldest_waiting=max((each.oldest_waiting for each in gauges), default=0.0))
