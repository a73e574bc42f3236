"""`Report`: what a replica of a model, or a server on its behalf, tells all servers of the cluster."""

from typing import NamedTuple

from llm_inference_api.requests.model_status import ModelStatus
from llm_inference_api.requests.step import StepStats


class Report(NamedTuple):
    """News of one replica since its last report."""

    model: str
    replica: str
    status: ModelStatus | None
    """None: the replica is gone."""
    build: str = ""
    """Digest of what the replica serves, and how; see `ReplicaJob.build`."""
    steps: tuple[StepStats, ...] = ()
    loads: tuple[float, ...] = ()
    """Durations of loads, in seconds."""
    crashes: int = 0
    awaits_load: int = 0
    """Requests that wait for room in the replica's memory now."""
