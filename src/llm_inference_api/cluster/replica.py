"""One replica of a model: hosts a served model and its worker on a machine of the cluster."""

import asyncio
import hashlib
import os
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from llm_inference_api import __version__
from llm_inference_api.cluster.channel import Outlets, ReplicaAddress
from llm_inference_api.cluster.report import Report
from llm_inference_api.errors import ServiceError, UnavailableError
from llm_inference_api.models.memory_budget import MemoryBudget, available_memory
from llm_inference_api.models.served_model import Policy, ServedModel
from llm_inference_api.models.source import Sources
from llm_inference_api.requests.classifying import Classify
from llm_inference_api.requests.engine_config import EngineConfig
from llm_inference_api.requests.events import Progress
from llm_inference_api.requests.inquiry import Embed, Inquiry
from llm_inference_api.requests.model_status import ModelStatus, Observer
from llm_inference_api.requests.ranking import Rank
from llm_inference_api.requests.reference import Reference
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.requests.step import Delta, StageEntry, StepStats

HUB_TOKEN = "HF_TOKEN"  # noqa: S105 - a variable's name
"""Taken from the environment of the replica's machine, as what a deployment is made of is stored in the cluster."""
_INTERVAL = 0.2
"""Seconds between reports of steps."""
_SIGN_OF_LIFE = 1.0
"""Seconds between reports without news."""
_GOODBYE = 1.0
"""Seconds in which the last report arrives, where the cluster answers."""

Post = Callable[[Report], Awaitable[object]]
"""Sends a report, which arrives also if that is not awaited."""


@dataclass(frozen=True, slots=True)
class ReplicaJob:
    """What a replica serves, and how."""

    reference: Reference
    sources: Sources
    engine: EngineConfig
    queue_length: int
    memory: int | None
    """Memory budget in bytes; None: that of the replica's machine."""
    idle_unload: float | None
    interval: float
    """Seconds after which a request without news says where it stands."""

    @property
    def build(self) -> str:
        """Digest of the job and the version of its code: replicas of another one are replaced."""
        return hashlib.sha256(f"{__version__} {self!r}".encode()).hexdigest()[:16]

    def policy(self) -> Policy:
        """Returns the policy of the machine's served model."""
        hub = self.sources.hub
        token = os.environ.pop(HUB_TOKEN, None)
        if token:
            hub = replace(hub, environment={**hub.environment, HUB_TOKEN: token})
        budget = MemoryBudget(self.memory or available_memory(), None, self.engine.queue_timeout)
        return Policy(
            replace(self.sources, hub=hub), budget, self.engine, self.queue_length, idle_unload=self.idle_unload
        )


def without_token(sources: Sources) -> Sources:
    """Returns the sources without the hub's token, which the cluster would store."""
    hub = sources.hub
    kept = {name: value for name, value in hub.environment.items() if name != HUB_TOKEN}
    return replace(sources, hub=replace(hub, environment=kept))


class StreamPart(NamedTuple):
    """A part of what a request's stream has, in order."""

    arrived: tuple[Delta, ...] | Progress | None = None
    """None in the first part, which says that a replica has the request."""
    entries: tuple[StageEntry, ...] = ()
    error: ServiceError | None = None
    """The error that ends the stream."""
    now: float = 0.0
    """The monotonic clock of the replica's machine, in seconds, to which all times refer."""


class Outcome(NamedTuple):
    """The result of a call, or its error."""

    result: Any = None
    error: ServiceError | None = None


class Replica:
    """Serves one model. All methods return errors as values: Ray would wrap a raised one."""

    def __init__(self, job: ReplicaJob, report: Post) -> None:
        """Creates the replica, which `start` loads.

        Args:
            job: The job.
            report: Takes this replica's reports.
        """
        self._interval = job.interval
        self._reporter = Reporter(job, report)
        self._model = ServedModel(job.reference, job.policy(), self._reporter)
        self._reporting = asyncio.create_task(self._reporter.run())
        self._outlets = Outlets()

    async def start(self) -> None:
        """Returns once the model is loaded, or its load has failed, which requests are told."""
        with suppress(ServiceError):
            await self._model.load()

    async def generate(self, request: GenerationRequest, identity: Mapping[str, object], to: ReplicaAddress) -> Outcome:
        """Sends the parts of a request's stream; returns their number. Cancelling it cancels unfinished answers."""
        sent = 0
        try:
            async with aclosing(self._parts(request, identity)) as parts:
                async for part in parts:
                    await self._outlets.send(to, part)
                    sent += 1
        except OSError as error:
            problem = f"the replica cannot send to the server that asked, at {to.host}:{to.port} ({error})"
            return Outcome(sent, UnavailableError("CLUSTER_FAILED", problem))
        return Outcome(sent)

    async def _parts(self, request: GenerationRequest, identity: Mapping[str, object]) -> AsyncGenerator[StreamPart]:
        yield StreamPart(now=time.monotonic())
        try:
            stream = self._model.open(request, identity)
        except ServiceError as error:
            yield StreamPart(error=error)
            return
        running = request.n
        try:
            while running:
                arrived = await stream.next(self._interval)
                if not isinstance(arrived, Progress):
                    running -= sum(delta.finish_reason is not None for delta in arrived)
                yield StreamPart(arrived, tuple(stream.take_entries()), now=time.monotonic())
        except ServiceError as error:
            yield StreamPart(entries=tuple(stream.take_entries()), error=error, now=time.monotonic())
        finally:
            stream.close()

    async def inquire(self, inquiry: Inquiry, caller: str) -> Outcome:
        """See `ServedModel.inquire`."""
        return await _outcome(self._model.inquire(inquiry, caller))

    async def embed(self, embed: Embed) -> Outcome:
        """See `ServedModel.embed`."""
        return await _outcome(self._model.embed(embed))

    async def rank(self, rank: Rank) -> Outcome:
        """See `ServedModel.rank`."""
        return await _outcome(self._model.rank(rank))

    async def classify(self, classify: Classify) -> Outcome:
        """See `ServedModel.classify`."""
        return await _outcome(self._model.classify(classify))

    async def load(self) -> Outcome:
        """Loads the model where its first load has failed, or where it was unloaded for want of requests."""
        return (await _outcome(self._model.load()))._replace(result=None)  # The client of the worker stays here.

    async def close(self) -> None:
        """Ends the worker, and what this replica reports."""
        self._reporting.cancel()
        await self._model.close()
        await self._outlets.close()
        await self._reporter.end()


async def _outcome(work: Awaitable[object]) -> Outcome:
    try:
        return Outcome(await work)
    except ServiceError as error:
        return Outcome(error=error)


class Reporter(Observer):
    """Collects what happens to a replica's model and reports it: changes of the status at once, steps together."""

    def __init__(self, job: ReplicaJob, report: Post) -> None:
        self._report = report
        self._empty = Report(job.reference.id, uuid.uuid4().hex, None, job.build)
        self._news = self._empty
        self._status: ModelStatus | None = None

    def status_changed(self, status: ModelStatus) -> None:
        """See `Observer`."""
        self._status = status
        self._send()

    def stepped(self, model: str, stats: StepStats) -> None:
        """See `Observer`."""
        self._news = self._news._replace(steps=(*self._news.steps, stats))

    def awaits_load(self, model: str, requests: int) -> None:
        """See `Observer`."""
        self._empty = self._empty._replace(awaits_load=requests)
        self._news = self._news._replace(awaits_load=requests)

    def loaded(self, model: str, seconds: float) -> None:
        """See `Observer`."""
        self._news = self._news._replace(loads=(*self._news.loads, seconds))

    def crashed(self, model: str) -> None:
        """See `Observer`."""
        self._news = self._news._replace(crashes=self._news.crashes + 1)

    async def run(self) -> None:
        """Reports news, and signs of life."""
        sent = time.monotonic()
        while True:
            await asyncio.sleep(_INTERVAL)
            if self._news != self._empty or time.monotonic() - sent >= _SIGN_OF_LIFE:
                self._send()
                sent = time.monotonic()

    async def end(self) -> None:
        """Reports that the replica is gone; returns once that has arrived, as the process ends then."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE):
                await self._report(self._empty)

    def _send(self) -> None:
        self._report(self._news._replace(status=self._status))
        self._news = self._empty
