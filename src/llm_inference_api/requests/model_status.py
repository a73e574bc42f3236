"""Where a model stands, and who is told of it."""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from llm_inference_api.requests.model_info import ModelInfo
from llm_inference_api.requests.step import StepStats


class State(Enum):
    """Where a model stands in its life."""

    UNLOADED = "UNLOADED"
    DOWNLOADING = "DOWNLOADING"
    CONVERTING = "CONVERTING"
    QUANTIZING = "QUANTIZING"
    LOADING = "LOADING"
    ACTIVE = "ACTIVE"
    UNLOADING = "UNLOADING"
    FAILED = "FAILED"


class LoadProgress(NamedTuple):
    """How far a passing state is."""

    done: float
    total: float
    unit: str
    """`BYTES`, `TENSORS` or `FRACTION`."""


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """A model as it stands now."""

    id: str
    source: str
    state: State = State.UNLOADED
    reason: str = ""
    progress: LoadProgress | None = None
    info: ModelInfo | None = None
    memory: int = 0
    """Bytes that are counted for the model while it is in memory."""


class Observer:
    """What the registry tells others. Its methods do nothing here."""

    def status_changed(self, status: ModelStatus) -> None:
        """A model's state or progress is another."""

    def stepped(self, model: str, stats: StepStats) -> None:
        """A model's worker made a step."""

    def loaded(self, model: str, seconds: float) -> None:
        """A model was loaded in this time."""

    def crashed(self, model: str) -> None:
        """A model's worker died."""


class Observers(Observer):
    """Tells several observers."""

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

    def loaded(self, model: str, seconds: float) -> None:
        """See `Observer`."""
        for observer in self._observers:
            observer.loaded(model, seconds)

    def crashed(self, model: str) -> None:
        """See `Observer`."""
        for observer in self._observers:
            observer.crashed(model)
