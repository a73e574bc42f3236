"""`ClusterModel`: one model of the allow-list that a cluster's replicas serve."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any, cast

from llm_inference_api.cluster.client import ReplicaClient
from llm_inference_api.cluster.connection import Cluster
from llm_inference_api.cluster.deployment import Scale
from llm_inference_api.cluster.replica import ReplicaJob
from llm_inference_api.cluster.report import Report
from llm_inference_api.cluster.sizing import known_footprint
from llm_inference_api.cluster.summary import Summary
from llm_inference_api.errors import OverloadedError, ServiceError, UnavailableError, UnsupportedError
from llm_inference_api.models.losses import is_loss
from llm_inference_api.models.stream import ModelStream
from llm_inference_api.processes.running_time import running_time
from llm_inference_api.requests.classifying import Classes, Classify
from llm_inference_api.requests.inquiry import Embed, Embeddings, Found, Inquiry
from llm_inference_api.requests.model_status import ModelStatus, Observer, State
from llm_inference_api.requests.ranking import Rank, Relevances
from llm_inference_api.requests.reference import Origin
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.requests.step import StepStats

logger = logging.getLogger(__name__)


class ClusterModel:
    """One model of the allow-list, and its replicas while it is deployed."""

    def __init__(
        self, job: ReplicaJob, scale: Scale, cluster: Cluster, observer: Observer, *, load_on_request: bool
    ) -> None:
        self._absent = ModelStatus(job.reference.id, job.reference.source)
        """The status without replicas."""
        self.status = self._absent
        self._job = job
        self._scale = scale
        self._cluster = cluster
        self._observer = observer
        self._load_on_request = load_on_request
        self._summary = Summary()
        self._client: ReplicaClient | None = None
        self._deploying: asyncio.Task[None] | None = None
        self._unloading: asyncio.Task[None] | None = None
        self._waiting = 0
        """Callers that wait for the first replica."""
        self._has_replaced = False
        """Whether this server has replaced replicas of another build: two servers shall not take turns at it."""
        self._closed = False
        self._is_watched_no_more = False
        self._changed = asyncio.Event()
        cluster.listen(job.reference.id, self._received, self._lost)
        observer.status_changed(self.status)

    @property
    def origin(self) -> Origin:
        """Where the model's files come from."""
        return self._job.reference.origin

    @property
    def adapters(self) -> tuple[str, ...]:
        """None: settings refuse adapters on a cluster."""
        return ()

    @property
    def uses_files(self) -> bool:
        """Whether there are replicas."""
        return not self._summary.is_empty

    @property
    def awaits_room(self) -> bool:
        """Whether replicas were asked for and no machine has one yet."""
        return self._summary.is_empty

    def open(self, request: GenerationRequest, identity: Mapping[str, object]) -> ModelStream:
        """Returns the stream of the request's answers; deploys the model first if necessary."""
        return ModelStream(self, request, identity)

    @asynccontextmanager
    async def admitted(
        self,
        work: GenerationRequest,
        *,
        is_new: bool = True,
    ) -> AsyncIterator[ReplicaClient]:
        """Yields the client of the replicas, once there are some that answer.

        Raises:
            OverloadedError: The new request's answers would exceed the seats and the queues.
            ServiceError: As `_acquire`.
        """
        client = await self._acquire(on_request=is_new)
        if is_new:
            client.check_place(work)
        yield client

    def refuse_what_embeds_only(self) -> None:
        """Does nothing: the replicas refuse it."""

    def note_end(self, request: GenerationRequest, *, whole: bool) -> None:
        """Does nothing: the replicas count their requests."""

    async def inquire(self, inquiry: Inquiry, caller: str = "") -> Found:
        """Returns a replica's answer to an inquiry."""
        return cast("Found", await self._ask("inquire", inquiry, caller))

    async def embed(self, embed: Embed) -> Embeddings:
        """Returns the embeddings of the inputs."""
        return cast("Embeddings", await self._compute("embed", embed))

    async def rank(self, rank: Rank) -> Relevances:
        """Returns how well each document answers the query."""
        return cast("Relevances", await self._compute("rank", rank))

    async def classify(self, classify: Classify) -> Classes:
        """Returns how probable the labels of the model's head are."""
        return cast("Classes", await self._compute("classify", classify))

    async def _compute(self, method: str, work: Embed | Rank | Classify) -> Any:
        """Returns a replica's answer. Raises OverloadedError if too many such requests are open."""
        if isinstance(work, Embed) and work.is_background:
            return await self._ask(method, work)
        client = await self._acquire(on_request=True)
        with client.errand():
            return await self._ask(method, work)

    async def _ask(self, method: str, *arguments: object) -> Any:
        """Returns a replica's answer; asks another one if that is gone meanwhile."""
        on_request = True
        while True:
            client = await self._acquire(on_request=on_request)
            try:
                return await client.ask(method, *arguments)
            except UnavailableError as error:
                if not is_loss(error):
                    raise
                on_request = False

    async def load(self) -> None:
        """Returns once a replica has the model.

        Raises:
            OverloadedError: No machine has room for a replica.
            ServiceError: The load failed; or as `_acquire`.
        """
        client = await self._acquire(on_request=False)
        await client.ask("load")

    async def _acquire(self, *, on_request: bool) -> ReplicaClient:
        """Returns the client once there are replicas that answer; deploys the model where it is not.

        Raises:
            UnavailableError: The cluster does not answer, or the service is stopping.
            OverloadedError: No machine has had room for a replica within the queue timeout.
            UnsupportedError: A request may not load the model, and it is not deployed.
        """
        if self._unloading is not None:
            await asyncio.wait({self._unloading})
        if self._summary.is_empty and on_request and not self._load_on_request:
            problem = f"model {self.status.id!r} is not loaded, and requests do not load it here"
            raise UnsupportedError("MODEL_NOT_LOADED", f"{problem}; LoadModel (POST /api/llms/{{id}}:load) does")
        since = running_time().time()
        self._waiting += 1
        try:
            while not (self._client is not None and self._summary.is_ready):
                self._check()
                await self._deployed()
                await self._until_changed(since)
        finally:
            self._waiting -= 1
        self._check()
        return self._client

    def _check(self) -> None:
        if self._closed:
            raise UnavailableError("DRAINING", "the service is stopping")
        self._cluster.check()

    async def _deployed(self) -> None:
        """Returns once replicas were asked for; callers share it."""
        if self._client is not None and not self._summary.is_empty:
            return
        if self._deploying is None:
            self._deploying = asyncio.create_task(self._deploy())
            self._deploying.add_done_callback(self._end_deploying)
        deploying = self._deploying
        await asyncio.wait({deploying})
        if not deploying.cancelled() and (error := deploying.exception()) is not None:
            raise (
                error
                if isinstance(error, ServiceError)
                else UnavailableError("CLUSTER_FAILED", "the model could not be deployed; see the service's log")
            )

    async def _deploy(self) -> None:
        memory = await known_footprint(self._job)
        replaces = (
            not self._has_replaced and not self._summary.is_empty and not self._summary.has_build(self._job.build)
        )
        self._has_replaced = True
        await self._cluster.deploy(self._job, self._scale, memory, replaces=replaces)
        handle = await self._cluster.handle(self._job.reference.id)
        engine = self._job.engine
        capacity = (engine.slots + self._job.queue_length) * self._scale.most
        self._client = ReplicaClient(handle, self._cluster.inbox, capacity, engine.queue_timeout, engine.step_timeout)

    def _end_deploying(self, task: asyncio.Task[None]) -> None:
        self._deploying = None
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, ServiceError):
            logger.error("model %s cannot be deployed", self.status.id, exc_info=error)

    async def _until_changed(self, since: float) -> None:
        """Waits for news of the replicas, while there are none at most until the queue timeout."""
        if self._summary.is_ready:
            return
        changed = self._changed
        patience = self._job.engine.queue_timeout
        left = since + patience - running_time().time() if self._summary.is_empty else None
        if left is not None and left <= 0:
            raise OverloadedError(f"no machine of the cluster had room for the model within {patience:g} s", patience)
        with suppress(TimeoutError):
            async with asyncio.timeout(left):
                await changed.wait()

    async def unload(self) -> None:
        """Ends the replicas, for all servers of the cluster, once their open requests have ended."""
        if self._unloading is None:
            self._unloading = asyncio.create_task(self._unload())
        await asyncio.shield(self._unloading)

    async def _unload(self) -> None:
        try:
            self._set(replace(self.status, state=State.UNLOADING))
            await self._cluster.delete(self._job.reference.id)
            self._client = None
            while not self._summary.is_empty:
                await self._changed.wait()
        finally:
            self._unloading = None
            self._refresh()

    async def download(self) -> None:
        """Raises UnsupportedError: each machine has files of its own."""
        problem = "each machine of the cluster fetches a model's files when it loads the model; load it instead"
        raise UnsupportedError("CLUSTER_UNSUPPORTED", problem)

    async def delete_files(self) -> int:
        """Raises UnsupportedError: each machine has files of its own."""
        raise UnsupportedError("CLUSTER_UNSUPPORTED", "the files are on the machines of the cluster; delete them there")

    async def watch(self) -> AsyncGenerator[ModelStatus]:
        """Yields the current status, then each change. Raises UnavailableError when the service stops."""
        seen = None
        while not self._is_watched_no_more:
            changed = self._changed
            if self.status is not seen:
                seen = self.status
                yield seen
            await changed.wait()
        raise UnavailableError("DRAINING", "the service is stopping")

    def end_watches(self) -> None:
        """Ends all watches."""
        self._is_watched_no_more = True
        self._notify()

    async def close(self) -> None:
        """Ends this server's requests. The replicas stay."""
        self._closed = True
        self._notify()
        if self._client is not None:
            self._client.fail(UnavailableError("DRAINING", "the service is stopping"))
        tasks = {task for task in (self._deploying, self._unloading) if task is not None}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _received(self, report: Report) -> None:
        model = self.status.id
        self._summary.add(report)
        for seconds in report.loads:
            self._observer.loaded(model, seconds)
        for _ in range(report.crashes):
            self._observer.crashed(model)
        for step in report.steps:
            self._observer.stepped(model, self._summary.step(report.replica, step))
        if report.status is None:
            self._observer.stepped(model, self._summary.with_gauges(StepStats()))
        self._observer.awaits_load(model, self._summary.awaits_load)
        self._refresh()

    def _lost(self) -> None:
        """Refuses what no replica computes yet; those that compute may still answer."""
        self._summary.clear()
        if self._client is not None:
            self._client.fail_queued(self._cluster.lost())
        self._refresh()

    def _refresh(self) -> None:
        if self._unloading is None:
            self._set(self._summary.status(self._absent))
        else:
            self._notify()

    def _set(self, status: ModelStatus) -> None:
        if status != self.status:
            if status.state is not self.status.state:
                logger.info("model %s: %s", status.id, status.state.value.lower())
            self.status = status
            self._observer.status_changed(status)
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
