"""Models and calls without processes and wires."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from llm_inference_api.errors import ModelNotFoundError, ServiceError
from llm_inference_api.requests.events import FinishReason, Progress, Usage
from llm_inference_api.requests.model_info import ModelInfo
from llm_inference_api.requests.model_status import ModelStatus, State
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.requests.step import Delta, StageEntry

INFO = ModelInfo("tiny", 1, 1, 100, 100, 10, 4, 400, has_chat_template=True, devices=())


class Again:
    """The request is lost with the worker and run again."""


Arrival = tuple[Delta, ...] | Progress | ServiceError | Again


def end(text: str = "", index: int = 0, reason: FinishReason = FinishReason.STOP, cost: Usage | None = None) -> Delta:
    """Returns the last delta of an answer."""
    return Delta("", text, (), reason, cost or Usage(10, 2, 0), index)


class FakeStream:
    """Has what the test says, then nothing."""

    def __init__(self, arrivals: Sequence[Arrival], entries: Sequence[StageEntry]) -> None:
        self._arrivals = deque(arrivals)
        self._entries = list(entries)
        self.closed = 0
        self.attempt = 1
        self.info = INFO
        self.is_sent = False
        self.is_sent_when_read = True
        self.waiting = asyncio.Event()
        """Set while a reader waits for what never comes."""

    async def next(self, interval: float | None) -> tuple[Delta, ...] | Progress:
        """Returns the next arrival; raises it where it is an error."""
        if not self._arrivals:
            self.waiting.set()
            await asyncio.Event().wait()
        arrival = self._arrivals.popleft()
        if isinstance(arrival, Again):
            self.attempt += 1
            return await self.next(interval)
        if isinstance(arrival, ServiceError):
            raise arrival
        return arrival

    async def wait_ended(self) -> None:
        """Joins all that is left, as a mailbox does for a patient reader."""
        left = [delta for arrival in self._arrivals if isinstance(arrival, tuple) for delta in arrival]
        if left and not any(isinstance(arrival, (ServiceError, Again)) for arrival in self._arrivals):
            self._arrivals = deque([tuple(left)])

    def take_entries(self) -> list[StageEntry]:
        """Returns the stages, once."""
        taken, self._entries = self._entries, []
        return taken

    def close(self) -> None:
        """Counts."""
        self.closed += 1


@dataclass
class FakeModel:
    """Answers each request with the same arrivals."""

    arrivals: Sequence[Arrival] = ()
    entries: Sequence[StageEntry] = ()
    status: ModelStatus = field(default_factory=lambda: ModelStatus("tiny", "tiny.gguf", State.ACTIVE, info=INFO))
    requests: list[GenerationRequest] = field(default_factory=list)
    streams: list[FakeStream] = field(default_factory=list)
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    def open(self, request: GenerationRequest, identity: Mapping[str, object]) -> FakeStream:
        """Notes the request."""
        self.requests.append(request)
        self.opened.set()
        self.streams.append(FakeStream(self.arrivals, self.entries))
        return self.streams[-1]


@dataclass
class FakeRegistry:
    """Has one model, under its name and under none."""

    model: FakeModel

    def get(self, name: str) -> FakeModel:
        """Returns the model."""
        if name not in ("", self.model.status.id):
            raise ModelNotFoundError(name)
        return self.model

    def adapted(self, name: str) -> tuple[str, None]:
        """Returns the name: the model has no adapters."""
        return name, None


@dataclass
class FakeContext:
    """gRPC's side of a call, with a deadline or none."""

    left: float | None = None
    metadata: tuple[tuple[str, str], ...] = ()

    def time_remaining(self) -> float | None:
        """Returns the seconds until the deadline."""
        return self.left

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """Returns what the caller has sent besides the request."""
        return self.metadata


@dataclass
class Recorded:
    """Metrics and spans in one: each thing that is told, by name."""

    told: list[tuple[Any, ...]] = field(default_factory=list)
    trace: None = None

    def names(self) -> list[str]:
        """Returns what was told, without values."""
        return [entry[0] for entry in self.told]

    def generation(self, *arguments: Any, **more: Any) -> Self:
        """Is the span too."""
        return self

    embedding = ranking = generation

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.told.append(("closed",))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *arguments: self.told.append((name, *arguments))
