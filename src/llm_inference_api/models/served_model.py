"""One model of the allow-list and its lifecycle.

States: unloaded → (downloading → converting →) loading → active → unloading → unloaded; or failed.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from llm_inference_api.errors import (
    ModelFailedError,
    OverloadedError,
    ServiceError,
    UnavailableError,
    UnsupportedError,
)
from llm_inference_api.models.footprint import estimate
from llm_inference_api.models.losses import is_loss
from llm_inference_api.models.memory_budget import MemoryBudget
from llm_inference_api.models.source import ModelFiles, Preparation, Sources
from llm_inference_api.models.stream import ModelStream
from llm_inference_api.models.suspects import Suspects
from llm_inference_api.requests.engine_config import EngineConfig
from llm_inference_api.requests.inquiry import Embed, Embeddings, Findings, Inquiry
from llm_inference_api.requests.model_info import ModelInfo
from llm_inference_api.requests.model_status import LoadProgress, ModelStatus, Observer, State
from llm_inference_api.requests.reference import Reference
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.requests.step import StepStats
from llm_inference_api.worker.at_work import Work
from llm_inference_api.worker.client import WorkerClient

_FIRST_BACK_OFF = 1.0
_LONGEST_BACK_OFF = 60.0
"""Seconds of back-off after a failed load; doubles with each failure, from the first value up to the second."""
_STABLE_AFTER = 60.0
"""Seconds without a crash after which the failure count is reset."""
_SLOWEST_READ = 20e6
"""Bytes per second of the slowest supported disk; extends the load timeout by the file's size. llama.cpp reads a mapped
file completely (MAP_POPULATE, llama-mmap.cpp) before it reports progress."""

Result = TypeVar("Result")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Policy:
    """Settings that all models share."""

    sources: Sources
    memory: MemoryBudget
    engine: EngineConfig
    """Template for each worker; the model's files and load timeout are filled in per model."""
    queue_length: int
    """Maximum number of requests that wait for one model; further ones are refused."""
    idle_unload: float | None = None
    """Seconds without a request after which a model is unloaded; None for never."""


class ServedModel:
    """One model of the allow-list, and its worker while it is loaded."""

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
        self._suspects = Suspects()
        self._turn = asyncio.Lock()
        """Held while a suspect waits for the worker or is computed."""
        self._behind_suspects = 0
        """Number of requests that wait for `_turn`."""
        self._idle_timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        observer.status_changed(self.status)

    def open(self, request: GenerationRequest, identity: Mapping[str, object]) -> ModelStream:
        """Returns the stream of the request's answers; loads the model first if necessary.

        Args:
            request: The request.
            identity: Structured fields of the request's log lines.

        Raises:
            PoisonRequestError: The request crashes the worker.
        """
        self._suspects.includes(request)
        return ModelStream(self, request, identity)

    def note_end(self, request: GenerationRequest, *, whole: bool) -> None:
        """Records the end of a request; a completely answered one is cleared of the crashes that it was present in."""
        if whole:
            self._suspects.answered(request)
        self._used()

    async def admit(self, work: Work, *, is_new: bool = True) -> WorkerClient:
        """Returns the worker's client once `work` may be sent to it, which must be done before anything is awaited.

        Loads the model first if necessary, and waits for the restart after a crash. A suspect is sent once the worker
        owes nothing else; what comes later waits for its end.

        Args:
            work: What is to be sent.
            is_new: Whether it may be refused where many wait for a suspect; else it was lost and is to be sent again.

        Raises:
            OverloadedError: As many wait for a suspect as the model's slots and queue hold.
            PoisonRequestError: The work crashes the worker.
            ServiceError: As `load`.
        """
        client = await self._load_after_restart()
        if not self._suspects and not self._turn.locked():
            return client
        self._refuse_beyond_queue(is_new=is_new)
        self._behind_suspects += 1
        try:
            await self._turn.acquire()
        finally:
            self._behind_suspects -= 1
        try:
            if not self._suspects.includes(work):
                client = await self._load_after_restart()
                self._turn.release()
                return client
            client = await self._idle_client()
        except BaseException:
            self._turn.release()
            raise
        self._background(self._release_turn(client))
        return client

    def _refuse_beyond_queue(self, *, is_new: bool) -> None:
        if is_new and self._behind_suspects >= self._policy.engine.slots + self._policy.queue_length:
            problem = f"{self._behind_suspects} requests are waiting for this model, which is its limit"
            raise OverloadedError(problem, self._policy.engine.queue_timeout)

    async def _idle_client(self) -> WorkerClient:
        while True:
            client = await self._load_after_restart()
            if client.idle:
                return client
            await client.drain()

    async def _release_turn(self, client: WorkerClient) -> None:
        """Lets others compute once the suspect that was just admitted has ended."""
        try:
            await client.drain()
        finally:
            self._turn.release()

    async def _load_after_restart(self) -> WorkerClient:
        """Returns `load`, after the back-off of a crash if that ends within the queue timeout."""
        delay = self._retry_at - time.monotonic()
        if self._error is not None and is_loss(self._error) and 0.0 < delay <= self._policy.engine.queue_timeout:
            await asyncio.sleep(delay)
        return await self.load()

    @property
    def idle(self) -> bool:
        """Whether the model is loaded and serves no request."""
        return self.status.state is State.ACTIVE and self._client is not None and self._client.idle

    async def drained(self) -> None:
        """Returns when the model serves no request."""
        if self._load is not None:
            await asyncio.wait({self._load})
        if self._client is not None:
            await self._client.drain()

    async def inquire(self, inquiry: Inquiry, caller: str = "") -> Findings:
        """See `WorkerClient.inquire`; loads the model first if necessary."""
        return await self._answer(inquiry, lambda client: client.inquire(inquiry, caller))

    async def embed(self, embed: Embed) -> Embeddings:
        """See `WorkerClient.embed`; loads the model first if necessary.

        Raises:
            UnsupportedError: The model does not compute embeddings.
        """
        try:
            return await self._answer(embed, lambda client: self._embed(client, embed))
        finally:
            self._used()

    async def _embed(self, client: WorkerClient, embed: Embed) -> Embeddings:
        if self.status.info is not None and not self.status.info.embedding_length:
            raise UnsupportedError("EMBEDDINGS_UNSUPPORTED", f"model {self.status.id!r} computes no embeddings")
        return await client.embed(embed)

    async def _answer(self, work: Inquiry | Embed, ask: Callable[[WorkerClient], Awaitable[Result]]) -> Result:
        """Returns the answer of the worker; asks again if the worker dies meanwhile."""
        is_new = True
        while True:
            client = await self.admit(work, is_new=is_new)
            try:
                answer = await ask(client)
            except UnavailableError as error:
                if not is_loss(error):
                    raise
                is_new = False
            else:
                self._suspects.answered(work)
                return answer

    def refuse_what_embeds_only(self) -> None:
        """Raises UnsupportedError if the model computes embeddings only."""
        if self.status.info is not None and not self.status.info.generates:
            problem = f"model {self.status.id!r} computes embeddings only (POST /v1/embeddings, /api/embed)"
            raise UnsupportedError("GENERATION_UNSUPPORTED", f"{problem}; it generates no text")

    async def load(self) -> WorkerClient:
        """Returns the worker's client; starts a worker if there is none.

        Concurrent callers share one load, which their cancellation does not stop.

        Raises:
            UnavailableError: The model is being unloaded, or its worker died.
            ServiceError: The load failed. During back-off, the last failure is raised again.
        """
        if self._client is not None and self.status.state is State.ACTIVE:
            return self._client
        if self.status.state is State.UNLOADING:
            raise UnavailableError("MODEL_UNLOADING", "the model is being unloaded")
        if self._load is None:
            self._refuse_in_back_off()
            self._load = asyncio.create_task(self._start())
            self._load.add_done_callback(self._end_load)
        try:
            return await asyncio.shield(self._load)
        except ServiceError as error:
            # All callers of a load share its error, which would keep the frames of each: what they asked, for one.
            raise copy(error) from None

    async def unload(self) -> None:
        """Drains open requests, then stops the worker. Returns when the memory is free.

        Shielded from the caller's cancellation (such as a claim that times out), which would leave the model UNLOADING.
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
            self._policy.memory.leave(self)
            self._set(State.UNLOADED)

    async def close(self) -> None:
        """Stops the worker at once, without draining."""
        if self._load is not None:
            self._load.cancel()
            await asyncio.wait({self._load})
        if self._client is not None:
            await self._client.close()
        self._cancel_idle_timer()

    async def watch(self) -> AsyncGenerator[ModelStatus]:
        """Yields the current status, then each change; never ends."""
        while True:
            changed = self._changed
            yield self.status
            await changed.wait()

    async def _start(self) -> WorkerClient:
        """Provides the files, claims memory, and starts the worker."""
        started = time.monotonic()
        self._set(State.LOADING)
        files = await self._policy.sources.provide(self._reference, self._on_preparation)
        footprint = await asyncio.to_thread(estimate, files.paths, self._policy.engine.context)
        self._set(State.LOADING)
        await self._policy.memory.claim(self, footprint.total)
        try:
            client, info = await self._start_worker(files, footprint.weights)
        except BaseException:
            self._policy.memory.leave(self)
            raise
        self._client, self._active_since = client, time.monotonic()
        self._observer.loaded(self.status.id, self._active_since - started)
        self._set(State.ACTIVE, info=info, memory=footprint.total)
        self._used()
        return client

    async def _start_worker(self, files: ModelFiles, size: int) -> tuple[WorkerClient, ModelInfo]:
        """Returns the client of a started worker, and the model's properties. `size`: bytes of the weights."""
        load_timeout = self._policy.engine.load_timeout + size // _SLOWEST_READ
        config = replace(
            self._policy.engine, model_path=files.paths[0], tokenizer=files.tokenizer, load_timeout=load_timeout
        )
        queue = self._policy.queue_length
        client = WorkerClient(
            config, queue, self._on_progress, self._on_stats, self._on_exit, on_failed_step=self._on_failed_step
        )
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
            self._fail(ModelFailedError("internal error; see the service's log"))

    def _on_preparation(self, preparation: Preparation, done: int, total: int) -> None:
        unit = "BYTES" if preparation is Preparation.DOWNLOADING else "TENSORS"
        self._set(State[preparation.name], progress=LoadProgress(done, total, unit))

    def _on_progress(self, fraction: float) -> None:
        if self.status.state is State.LOADING:
            self._set(State.LOADING, progress=LoadProgress(fraction, 1.0, "FRACTION"))

    def _used(self) -> None:
        """Records the time of use and restarts the idle timer."""
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
        """Handles the death of the active worker: records what it computed as suspects and schedules a restart."""
        assert self._client is not None
        logger.error("model %s: %s", self.status.id, cause)
        self._suspects.crashed(self._client.at_work)
        self._client = None
        self._policy.memory.leave(self)
        if time.monotonic() - self._active_since > _STABLE_AFTER:
            self._failures = 0
        self._observer.crashed(self.status.id)
        self._observer.stepped(self.status.id, StepStats())
        self._fail(UnavailableError("WORKER_DIED", f"the model's process ended: {cause}"))
        self._restart_later()

    def _on_failed_step(self, works: tuple[Work, ...]) -> None:
        logger.error("model %s: a step failed", self.status.id)
        self._suspects.crashed(works)

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
        self._error = copy(error)  # Without the traceback, whose frames hold what the load was asked for.
        self._set(State.FAILED, reason=str(error))

    def _refuse_in_back_off(self) -> None:
        if self._error is not None and time.monotonic() < self._retry_at:
            raise copy(self._error)

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
