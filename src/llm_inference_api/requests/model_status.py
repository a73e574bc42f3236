"""Status of a model, and observers of status changes."""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from llm_inference_api.requests.model_info import ModelInfo
from llm_inference_api.requests.step import StepStats


class State(Enum):
    """Lifecycle state of a model."""

    UNLOADED = "UNLOADED"
    DOWNLOADING = "DOWNLOADING"
    CONVERTING = "CONVERTING"
    QUANTIZING = "QUANTIZING"
    LOADING = "LOADING"
    ACTIVE = "ACTIVE"
    UNLOADING = "UNLOADING"
    FAILED = "FAILED"


class LoadProgress(NamedTuple):
    """Progress of a transient state, such as DOWNLOADING."""

    done: float
    total: float
    unit: str
    """`BYTES`, `TENSORS` or `FRACTION`."""


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """Snapshot of a model's state."""

    id: str
    source: str
    state: State = State.UNLOADED
    reason: str = ""
    """Error message in the state FAILED; elsewhere what the model waits for, or empty."""
    progress: LoadProgress | None = None
    info: ModelInfo | None = None
    memory: int = 0
    """Bytes charged to the memory budget while the model is loaded."""
    context_length: int | None = None
    """Context length in tokens of the last load; None before the first."""


class Observer:
    """Receives notifications from the registry. The methods of this base class do nothing."""

    def status_changed(self, status: ModelStatus) -> None:
        """A model's state or progress has changed."""

    def stepped(self, model: str, stats: StepStats) -> None:
        """A model's worker has completed a step."""

    def awaits_load(self, model: str, requests: int) -> None:
        """So many requests wait for the load of their model, a restart, or the end of a suspect of crashes."""

    def loaded(self, model: str, seconds: float) -> None:
        """A model has been loaded; `seconds` is the duration."""

    def crashed(self, model: str) -> None:
        """A model's worker has exited unexpectedly."""


class Observers(Observer):
    """Forwards notifications to several observers."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def status_changed(self, status: ModelStatus) -> None:
        """See `Observer`."""
        for observer in self._observers:
            observer.status_changed(status)

    def stepped(self, model: str, stats: StepStats) -> None:
        """See `Observer`."""
        for observer in self._observers:
            observer.stepped(model, stats)

    def awaits_load(self, model: str, requests: int) -> None:
        """See `Observer`."""
        for observer in self._observers:
            observer.awaits_load(model, requests)

    def loaded(self, model: str, seconds: float) -> None:
        """See `Observer`."""
        for observer in self._observers:
            observer.loaded(model, seconds)

    def crashed(self, model: str) -> None:
        """See `Observer`."""
        for observer in self._observers:
            observer.crashed(model)
