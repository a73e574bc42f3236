"""The life of the models: unloaded → (download → conversion →) loading → active → unloading, or failed."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llm_inference_api.errors import (
    InvalidFieldError,
    ModelFailedError,
    ModelNotFoundError,
    PoisonRequestError,
    ServiceError,
    UnavailableError,
    UnsupportedError,
)
from llm_inference_api.models.footprint import estimate
from llm_inference_api.models.memory_budget import MemoryBudget
from llm_inference_api.models.source import ModelFiles, Preparation, Sources
from llm_inference_api.models.stream import ModelStream
from llm_inference_api.requests.engine_config import EngineConfig
from llm_inference_api.requests.inquiry import Embed, Embeddings, Findings, Inquiry
from llm_inference_api.requests.model_info import ModelInfo
from llm_inference_api.requests.model_status import LoadProgress, ModelStatus, Observer, State
from llm_inference_api.requests.reference import Reference
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.requests.step import StepStats
from llm_inference_api.shutdown import all_stopped
from llm_inference_api.worker.client import WorkerClient

_FIRST_BACK_OFF = 1.0
_LONGEST_BACK_OFF = 60.0
"""Seconds between a failure and the next try; the first doubles with each failure up to the second."""
_STABLE_AFTER = 60.0
"""Seconds of service after which earlier crashes no longer count."""
_CRASHES_ALLOWED = 1
"""Crashes that a request may have been part of before it is refused."""
_REMEMBERED_SUSPECTS = 1000
_SLOWEST_READ = 20e6
"""Bytes per second of the slowest disk to load from. llama.cpp reads a file that it maps (MAP_POPULATE, llama-mmap.cpp)
before it reports any progress."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds for all models alike."""

    sources: Sources
    room: MemoryBudget
    engine: EngineConfig
    """Of every worker, but for the model's files."""
    queue_length: int
    """Requests that wait for a model before more are refused."""
    idle_unload: float | None = None
    """Seconds without a request after which a model leaves the memory; None: it stays."""


class ServedModel:
    """One model of the allow-list, and its worker while it has one."""

    def __init__(self, reference: Reference, policy: Policy, observer: Observer) -> None:
        self.status = ModelStatus(reference.id, reference.source)
        self.last_used = 0.0
        """Seconds on the monotonic clock."""
        self._reference = reference
        self._policy = policy
        self._observer = observer
        self._client: WorkerClient | None = None
        self._load: asyncio.Task[WorkerClient] | None = None
        self._changed = asyncio.Event()
        self._failures = 0
        self._retry_at = 0.0
        self._error: ServiceError | None = None
        self._active_since = 0.0
        self._suspects: dict[int, int] = {}
        self._idle_timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        observer.status_changed(self.status)

    def open(self, request: GenerationRequest, identity: Mapping[str, object]) -> ModelStream:
        """Returns the stream of the request's answers; loads the model where it is not loaded.

        `identity` has the named values of log lines about the request. Raises PoisonRequestError.
        """
        if self._suspects.get(_fingerprint(request), 0) > _CRASHES_ALLOWED:
            raise PoisonRequestError("this request was being computed each time the model's process crashed")
        return ModelStream(self, request, identity)

    def note_end(self, request: GenerationRequest, *, whole: bool) -> None:
        """Notes the use; a request that was answered to its end is not why the process crashed earlier."""
        if whole:
            self._suspects.pop(_fingerprint(request), None)
        self._used()

    @property
    def idle(self) -> bool:
        """Whether the model is in memory and serves no request."""
        return self.status.state is State.ACTIVE and self._client is not None and self._client.idle

    async def drained(self) -> None:
        """Returns when the model serves no request."""
        if self._load is not None:
            await asyncio.wait({self._load})
        if self._client is not None:
            await self._client.drain()

    async def inquire(self, inquiry: Inquiry) -> Findings:
        """As `WorkerClient.inquire`; loads the model where it is not loaded."""
        return await (await self.load()).inquire(inquiry)

    async def embed(self, embed: Embed) -> Embeddings:
        """As `WorkerClient.embed`; loads the model where it is not loaded.

        Raises UnsupportedError where the model computes no embeddings.
        """
        client = await self.load()
        if self.status.info is not None and not self.status.info.embedding_length:
            raise UnsupportedError("EMBEDDINGS_UNSUPPORTED", f"model {self.status.id!r} computes no embeddings")
        try:
            return await client.embed(embed)
        finally:
            self._used()

    def refuse_what_embeds_only(self) -> None:
        """Raises UnsupportedError where the model generates no text."""
        if self.status.info is not None and not self.status.info.generates:
            problem = f"model {self.status.id!r} computes embeddings only (POST /v1/embeddings, /api/embed)"
            raise UnsupportedError("GENERATION_UNSUPPORTED", f"{problem}; it generates no text")

    async def load(self) -> WorkerClient:
        """Returns the worker's client, started where there is none. All callers share one load; none can cancel it.

        Raises ModelFailedError, or UnavailableError while a failure is so recent that no new try is made.
        """
        if self._client is not None and self.status.state is State.ACTIVE:
            return self._client
        if self.status.state is State.UNLOADING:
            raise UnavailableError("MODEL_UNLOADING", "the model is being unloaded")
        if self._load is None:
            self._refuse_in_back_off()
            self._load = asyncio.create_task(self._start())
            self._load.add_done_callback(self._end_load)
        return await asyncio.shield(self._load)

    async def unload(self) -> None:
        """Lets open requests end, then ends the worker. Returns when the memory is free.

        It goes on where its caller is cancelled, as a claim is that has waited too long: half of it would last.
        """
        await asyncio.shield(self._background(self._unload()))

    async def _unload(self) -> None:
        if self._load is not None:
            await asyncio.wait({self._load})
        client = self._client
        if client is None:
            return
        self._set(State.UNLOADING)
        await client.drain()
        self._client = None
        try:
            await client.close()
        finally:
            self._policy.room.leave(self)
            self._set(State.UNLOADED)

    async def close(self) -> None:
        """Ends the worker, whatever it does."""
        if self._load is not None:
            self._load.cancel()
            await asyncio.wait({self._load})
        if self._client is not None:
            await self._client.close()
        self._cancel_idle_timer()

    async def watch(self) -> AsyncGenerator[ModelStatus]:
        """Yields the status now and whenever it changes; never ends."""
        while True:
            changed = self._changed
            yield self.status
            await changed.wait()

    async def _start(self) -> WorkerClient:
        """Files → room in memory → worker."""
        started = time.monotonic()
        self._set(State.LOADING)
        files = await self._policy.sources.provide(self._reference, self._on_preparation)
        footprint = await asyncio.to_thread(estimate, files.paths, self._policy.engine.context)
        self._set(State.LOADING)
        await self._policy.room.claim(self, footprint.total)
        try:
            client, info = await self._start_worker(files, footprint.weights)
        except BaseException:
            self._policy.room.leave(self)
            raise
        self._client, self._active_since = client, time.monotonic()
        self._observer.loaded(self.status.id, self._active_since - started)
        self._set(State.ACTIVE, info=info, memory=footprint.total)
        self._used()
        return client

    async def _start_worker(self, files: ModelFiles, size: int) -> tuple[WorkerClient, ModelInfo]:
        """Takes the bytes of the files, and returns the worker's client with what the worker says of the model."""
        load_timeout = self._policy.engine.load_timeout + size // _SLOWEST_READ
        config = replace(
            self._policy.engine, model_path=files.paths[0], tokenizer=files.tokenizer, load_timeout=load_timeout
        )
        queue = self._policy.queue_length
        client = WorkerClient(config, queue, self._on_progress, self._on_stats, self._on_exit)
        try:
            return client, await client.start()
        except BaseException:
            await client.close()
            raise

    def _end_load(self, task: asyncio.Task[WorkerClient]) -> None:
        self._load = None
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, ServiceError):
            logger.error("model %s cannot be loaded: %s", self.status.id, error)
            self._fail(error)
        elif error is not None:
            logger.error("model %s cannot be loaded", self.status.id, exc_info=error)
            self._fail(ModelFailedError("an internal error; the service's log has it"))

    def _on_preparation(self, preparation: Preparation, done: int, total: int) -> None:
        unit = "BYTES" if preparation is Preparation.DOWNLOADING else "TENSORS"
        self._set(State[preparation.name], progress=LoadProgress(done, total, unit))

    def _on_progress(self, fraction: float) -> None:
        if self.status.state is State.LOADING:
            self._set(State.LOADING, progress=LoadProgress(fraction, 1.0, "FRACTION"))

    def _used(self) -> None:
        """Notes the use, and lets the model leave the memory when no other follows for long enough."""
        self.last_used = time.monotonic()
        self._cancel_idle_timer()
        if self._policy.idle_unload is not None:
            loop = asyncio.get_running_loop()
            self._idle_timer = loop.call_later(self._policy.idle_unload, self._unload_idle)

    def _unload_idle(self) -> None:
        if self.idle:
            self._background(self.unload())

    def _cancel_idle_timer(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None

    def _background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _on_stats(self, stats: StepStats) -> None:
        self._observer.stepped(self.status.id, stats)

    def _on_exit(self, cause: str) -> None:
        """The worker died while it served: remember what it computed, and start another one."""
        assert self._client is not None
        logger.error("model %s: %s", self.status.id, cause)
        self._suspect(self._client.open_requests)
        self._client = None
        self._policy.room.leave(self)
        if time.monotonic() - self._active_since > _STABLE_AFTER:
            self._failures = 0
        self._observer.crashed(self.status.id)
        self._observer.stepped(self.status.id, StepStats())
        self._fail(UnavailableError("WORKER_DIED", f"the model's process ended: {cause}"))
        self._restart_later()

    def _suspect(self, requests: Sequence[GenerationRequest]) -> None:
        for request in requests:
            fingerprint = _fingerprint(request)
            self._suspects[fingerprint] = self._suspects.pop(fingerprint, 0) + 1
        while len(self._suspects) > _REMEMBERED_SUSPECTS:
            del self._suspects[next(iter(self._suspects))]

    def _restart_later(self) -> None:
        delay = self._retry_at - time.monotonic()
        asyncio.get_running_loop().call_later(max(delay, 0.0), self._restart)

    def _restart(self) -> None:
        if self.status.state is State.FAILED:
            self._background(self._load_quietly())

    async def _load_quietly(self) -> None:
        try:
            await self.load()
        except ServiceError as error:
            logger.warning("model %s could not be restarted: %s", self.status.id, error)

    def _fail(self, error: ServiceError) -> None:
        delay = min(_FIRST_BACK_OFF * 2 ** (self._failures - 1), _LONGEST_BACK_OFF) if self._failures else 0.0
        self._failures += 1
        self._retry_at = time.monotonic() + delay
        self._error = error
        self._set(State.FAILED, reason=str(error))

    def _refuse_in_back_off(self) -> None:
        if self._error is not None and time.monotonic() < self._retry_at:
            raise self._error

    def _set(
        self,
        state: State,
        *,
        reason: str = "",
        progress: LoadProgress | None = None,
        info: ModelInfo | None = None,
        memory: int = 0,
    ) -> None:
        if state is State.UNLOADING:
            info, memory = self.status.info, self.status.memory
        if state is not self.status.state:
            logger.info("model %s: %s", self.status.id, state.value.lower())
        self.status = replace(self.status, state=state, reason=reason, progress=progress, info=info, memory=memory)
        self._observer.status_changed(self.status)
        self._changed.set()
        self._changed = asyncio.Event()


class Registry:
    """The models of the allow-list, by id."""

    def __init__(self, models: Mapping[str, ServedModel]) -> None:
        self._models = dict(models)

    def statuses(self) -> list[ModelStatus]:
        """Returns all models as they stand now, in the order of the settings."""
        return [model.status for model in self._models.values()]

    def get(self, model: str) -> ServedModel:
        """Returns the model with exactly this id; the only one for an empty id.

        Raises ModelNotFoundError where there is none, InvalidFieldError for an empty id where there are several.
        """
        if not model:
            if len(self._models) > 1:
                raise InvalidFieldError("model", "is missing; ListModels (GET /api/llms) names those that are served")
            return next(iter(self._models.values()))
        if model not in self._models:
            raise ModelNotFoundError(model)
        return self._models[model]

    async def close(self) -> None:
        """Ends all workers."""
        await all_stopped(*(model.close() for model in self._models.values()))


def build_registry(references: Sequence[Reference], policy: Policy, observer: Observer) -> Registry:
    """Returns a registry with a model for each reference; nothing is loaded."""
    return Registry({reference.id: ServedModel(reference, policy, observer) for reference in references})


def _fingerprint(request: GenerationRequest) -> int:
    """Returns the same number for a request and its repetition, whatever their ids and random seeds."""
    return hash((request.prompt, request.stopping))
