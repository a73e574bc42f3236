"""One model of the allow-list and its lifecycle.

States: unloaded → (downloading → converting →) loading → active → unloading → unloaded; or failed.
"""

import asyncio
import errno
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from llm_inference_api.errors import (
    RPC_SERVER_DOWN,
    RPC_SERVER_LOST,
    WORKER_DIED,
    ModelFailedError,
    OverloadedError,
    ServiceError,
    UnavailableError,
    UnsupportedError,
)
from llm_inference_api.models.footprint import Footprint, Room, estimate
from llm_inference_api.models.losses import is_loss
from llm_inference_api.models.memory_budget import MemoryBudget
from llm_inference_api.models.offload import Offload
from llm_inference_api.models.rpc_servers import RETRY, RpcServer, RpcServers, all_answer, free_memory
from llm_inference_api.models.source import ModelFiles, Preparation, Sources, read_files
from llm_inference_api.models.stream import ModelStream
from llm_inference_api.models.suspects import Suspects
from llm_inference_api.processes.running_time import running_time
from llm_inference_api.requests.adapters import AdapterFile, check_known
from llm_inference_api.requests.classifying import Classes, Classify
from llm_inference_api.requests.engine_config import EngineConfig
from llm_inference_api.requests.errand import Errand
from llm_inference_api.requests.inquiry import Embed, Embeddings, Found, Inquiry
from llm_inference_api.requests.model_info import ModelInfo
from llm_inference_api.requests.model_status import LoadProgress, ModelStatus, Observer, State
from llm_inference_api.requests.ranking import Rank, Relevances
from llm_inference_api.requests.reference import HubOrigin, Origin, Reference
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.requests.sizes import check_embedded_numbers
from llm_inference_api.requests.step import StepStats
from llm_inference_api.worker.at_work import Work
from llm_inference_api.worker.client import WorkerClient

_FIRST_BACK_OFF = 1.0
_LONGEST_BACK_OFF = 60.0
"""Seconds of back-off after a failed load; doubles with each failure, from the first value up to the second."""
_DOUBLINGS = 16
"""More than lead to the longest back-off."""
_STABLE_AFTER = 60.0
"""Seconds without a crash after which the failure count is reset."""
_SLOWEST_READ = 20e6
"""Bytes per second of the slowest supported disk; extends the load timeout by the file's size. llama.cpp reads a mapped
file completely (MAP_POPULATE, llama-mmap.cpp) before it reports progress."""

Result = TypeVar("Result")

_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)
"""Errors of the system that pass: files, memory or processes that are all in use."""

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
    adapters: tuple[AdapterFile, ...] = ()
    """The LoRA adapters of all models."""
    matryoshka: tuple[str, ...] = ()
    """Ids of the models whose vectors may be cut."""
    rpc_servers: RpcServers | None = None
    """What holds a part of one of the models."""
    load_on_request: bool = True
    """Whether a request loads the model that it names; else only `load` does."""
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
        self._adapter_files = tuple(file for file in policy.adapters if file.model == reference.id)
        self.adapters = tuple(file.id for file in self._adapter_files)
        """Ids of the model's LoRA adapters."""
        servers = policy.rpc_servers
        endpoints = servers.endpoints if servers is not None and servers.model == reference.id else ()
        self._servers = tuple(map(RpcServer, endpoints))
        """The RPC servers that hold a part of the model."""
        self._observer = observer
        self._client: WorkerClient | None = None
        self._load: asyncio.Task[WorkerClient] | None = None
        self._unloading: asyncio.Task[None] | None = None
        self._download: asyncio.Task[ModelFiles] | None = None
        """A download without a load. A load waits for the end of it, or of a deletion; the two exclude each other."""
        self._deletion: asyncio.Task[int] | None = None
        self._waiting = 0
        """Requests that wait for the load, a restart, or a suspect."""
        self._holds = 0
        """Callers that wait for the current load, or got its client and have not used it yet. The model stays loaded
        for them."""
        self._unheld = asyncio.Event()
        self._unheld.set()
        self._awaits_room_since: float | None = None
        """Seconds of `running_time`; None unless the load waits for other models to leave the memory."""
        self._closed = False
        self._is_watched_no_more = False
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
        self._server_watch: asyncio.Task[None] | None = None
        """Waits for RPC servers that did not answer."""
        self._idle_timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        observer.status_changed(self.status)

    def open(self, request: GenerationRequest, identity: Mapping[str, object]) -> ModelStream:
        """Returns the stream of the request's answers; loads the model first if necessary.

        Args:
            request: The request.
            identity: Structured fields of the request's log lines.

        Raises:
            InvalidFieldError: The model has no such adapter.
            PoisonRequestError: The request crashes the worker.
        """
        check_known("adapters", request.adapters, self.adapters)
        self._suspects.includes(request)
        return ModelStream(self, request, identity)

    def note_end(self, request: GenerationRequest, *, whole: bool) -> None:
        """Records the end of a request; a completely answered one is cleared of the crashes that it was present in."""
        if whole:
            self._suspects.answered(request)
        self._used()

    @asynccontextmanager
    async def admitted(self, work: Work, *, is_new: bool = True) -> AsyncIterator[WorkerClient]:
        """Yields the worker's client, to which `work` must be sent before the block awaits anything else.

        Loads the model first if necessary, and waits for the restart after a crash; the model stays loaded for the
        block. A suspect is sent once the worker owes nothing else; what comes later waits for its end.

        Args:
            work: What is to be sent.
            is_new: Whether it may be refused where many wait for a suspect; else it was lost and is to be sent again.

        Raises:
            OverloadedError: As many wait for a suspect as the model's slots and queue hold.
            PoisonRequestError: The work crashes the worker.
            ServiceError: As `acquire`.
        """
        with self._counted():
            client = await self._acquire_after_restart()
            if self._suspects or self._turn.locked():
                self.release()
                client = await self._in_turn(work, is_new=is_new)
        try:
            yield client
        finally:
            self.release()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Counts a request as waiting for the block."""
        self._waiting += 1
        self._observer.awaits_load(self.status.id, self._waiting)
        try:
            yield
        finally:
            self._waiting -= 1
            self._observer.awaits_load(self.status.id, self._waiting)

    async def _in_turn(self, work: Work, *, is_new: bool) -> WorkerClient:
        """Returns the client, as `acquire` does, once all suspects that came before have ended."""
        if is_new and self._behind_suspects >= self._policy.engine.slots + self._policy.queue_length:
            problem = f"{self._behind_suspects} requests are waiting for this model, which is its limit"
            raise OverloadedError(problem, self._policy.engine.queue_timeout)
        self._behind_suspects += 1
        try:
            await self._turn.acquire()
        finally:
            self._behind_suspects -= 1
        is_suspect = False
        try:
            is_suspect = self._suspects.includes(work)
            client = await (self._acquire_idle() if is_suspect else self._acquire_after_restart())
        except BaseException:
            self._turn.release()
            raise
        if is_suspect:
            self._background(self._release_turn(client))
        else:
            self._turn.release()
        return client

    async def _acquire_idle(self) -> WorkerClient:
        """Returns the client, as `acquire` does, of a worker that owes nothing."""
        while True:
            client = await self._acquire_after_restart()
            if client.idle:
                return client
            self.release()
            await client.drain()

    async def _release_turn(self, client: WorkerClient) -> None:
        """Lets others compute once the suspect that was just admitted has ended."""
        try:
            await client.drain()
        finally:
            self._turn.release()

    async def _acquire_after_restart(self) -> WorkerClient:
        """Returns `acquire`, after the back-off of a crash if that ends within the queue timeout."""
        if self._error_is_loss and 0.0 < self._back_off <= self._policy.engine.queue_timeout:
            await asyncio.sleep(self._back_off)
        return await self.acquire()

    @property
    def idle(self) -> bool:
        """Whether the model is loaded, serves no request and none is about to be submitted."""
        is_used = self._holds > 0 or self._client is None or not self._client.idle
        return self.status.state is State.ACTIVE and not is_used

    @property
    def awaits_room(self) -> bool:
        """Whether the load waits for other models to leave the memory."""
        return self._awaits_room_since is not None

    async def drained(self) -> None:
        """Returns when the model serves no request; if it is being unloaded, when it has left the memory."""
        if self._unloading is not None:
            await asyncio.wait({self._unloading})
            return
        if self._load is not None:
            await asyncio.wait({self._load})
        await self._unused()

    async def _unused(self) -> None:
        """Returns when no caller holds the client and no request is open."""
        while True:
            await self._unheld.wait()
            client = self._client
            if client is not None:
                await client.drain()
            if not self._holds and self._client is client:
                return

    async def inquire(self, inquiry: Inquiry, caller: str = "") -> Found:
        """See `WorkerClient.inquire`; loads the model first if necessary."""
        return await self._answer(inquiry, lambda client: client.inquire(inquiry, caller))

    async def embed(self, embed: Embed) -> Embeddings:
        """See `WorkerClient.embed`; loads the model first if necessary.

        Raises:
            UnsupportedError: The model does not compute embeddings.
            InvalidFieldError: The embeddings are too large for one response.
        """
        try:
            return await self._answer(embed, lambda client: self._embed(client, embed))
        finally:
            self._used()

    async def _embed(self, client: WorkerClient, embed: Embed) -> Embeddings:
        if self.status.info is not None and not self.status.info.embedding_length:
            raise UnsupportedError("EMBEDDINGS_UNSUPPORTED", f"model {self.status.id!r} computes no embeddings")
        if self.status.info is not None:
            field = embed.inputs[0].field.partition("[")[0]
            check_embedded_numbers(field, len(embed.inputs), self.status.info.embedding_length)
        return await client.embed(embed)

    async def rank(self, rank: Rank) -> Relevances:
        """See `WorkerClient.rank`; loads the model first if necessary.

        Raises UnsupportedError if the model cannot rank.
        """
        try:
            return await self._answer(rank, lambda client: self._rank(client, rank))
        finally:
            self._used()

    async def _rank(self, client: WorkerClient, rank: Rank) -> Relevances:
        if self.status.info is not None and not self.status.info.ranks:
            raise UnsupportedError("RANKING_UNSUPPORTED", f"model {self.status.id!r} cannot rank texts")
        return await client.rank(rank)

    async def classify(self, classify: Classify) -> Classes:
        """See `WorkerClient.classify`; loads the model first if necessary.

        Raises UnsupportedError if the model's head has no labels.
        """
        try:
            return await self._answer(classify, lambda client: self._classify(client, classify))
        finally:
            self._used()

    async def _classify(self, client: WorkerClient, classify: Classify) -> Classes:
        if self.status.info is not None and not self.status.info.labels:
            raise UnsupportedError("CLASSIFICATION_UNSUPPORTED", f"model {self.status.id!r} has no labels")
        return await client.classify(classify)

    async def _answer(self, work: Inquiry | Errand, ask: Callable[[WorkerClient], Awaitable[Result]]) -> Result:
        """Returns the answer of the worker; asks again if the worker dies meanwhile."""
        is_new = True
        while True:
            try:
                async with self.admitted(work, is_new=is_new) as client:
                    answer = await ask(client)
            except UnavailableError as error:
                if not is_loss(error):
                    raise
                is_new = False
            else:
                self._suspects.answered(work)
                return answer

    def refuse_what_embeds_only(self) -> None:
        """Raises UnsupportedError if the model computes embeddings only, or ranks only."""
        if self.status.info is not None and not self.status.info.generates:
            does = "computes embeddings only (POST /v1/embeddings, /api/embed)"
            if self.status.info.ranks:
                does = "ranks texts only (POST /v1/rerank, /api/rank)"
            if self.status.info.labels:
                does = "classifies texts only (a choice of its labels: POST /api/decide, /v1/decisions, /v1/systemone)"
            problem = f"model {self.status.id!r} {does}; it generates no text"
            raise UnsupportedError("GENERATION_UNSUPPORTED", problem)

    async def load(self) -> WorkerClient:
        """Returns the worker's client once the model is loaded; it may be unloaded at any time. Raises as `acquire`."""
        async with self._held(on_request=False) as client:
            return client

    async def download(self) -> None:
        """Returns when the model's files are there, converted if necessary; at once if it is in memory.

        Concurrent callers share one download, which their cancellation does not stop.

        Raises:
            ServiceError: The download or the conversion failed.
        """
        while (work := self._load or self._unloading or self._deletion) is not None:
            await asyncio.wait({work})
        if self._client is None:
            if self._download is None:
                self._download = self._begin(self._policy.sources.provide(self._reference, self._on_preparation))
            await self._shared(self._download)

    @property
    def origin(self) -> Origin:
        """Where the model's files come from."""
        return self._reference.origin

    @property
    def uses_files(self) -> bool:
        """Whether the model is in memory, on the way there or out of it, or has its files downloaded or deleted."""
        return bool(self._client or self._load or self._unloading or self._download or self._deletion)

    async def delete_files(self) -> int:
        """Deletes the model's files in the hub's cache. Returns the bytes freed.

        Raises:
            UnsupportedError: The model is not unloaded, or not from the hub.
            ServiceError: The files cannot be deleted.
        """
        origin = self._reference.origin
        if not isinstance(origin, HubOrigin):
            problem = f"model {self.status.id!r} is not from the hub; only files in the hub's cache are deleted"
            raise UnsupportedError("MODEL_NOT_FROM_HUB", problem)
        if self.uses_files:
            state = self.status.state.value
            raise UnsupportedError("MODEL_IN_USE", f"model {self.status.id!r} is {state}; unload it first")
        self._deletion = self._begin(self._policy.sources.delete(origin))
        return await self._shared(self._deletion)

    def _begin(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        """Begins a download or a deletion. Raises UnavailableError if the service is stopping."""
        if self._closed:
            work.close()
            raise UnavailableError("DRAINING", "the service is stopping")
        task = asyncio.create_task(work)
        task.add_done_callback(self._end_work)
        return task

    def _end_work(self, task: asyncio.Task[Any]) -> None:
        self._download = self._deletion = None
        if not task.cancelled() and (error := task.exception()) is not None:
            is_expected = isinstance(error, (ServiceError, OSError))
            logger.error("model %s: %s", self.status.id, _failure(error), exc_info=None if is_expected else error)
        if self.status.state is not State.FAILED:
            self._set(State.UNLOADED)

    async def _shared(self, work: asyncio.Task[Result]) -> Result:
        """Returns the result of work that goes on where this caller leaves. Raises what callers of a load are told."""
        await asyncio.wait({work})
        if work.cancelled():
            raise UnavailableError("DRAINING", "the service is stopping")
        if (error := work.exception()) is not None:
            raise copy(_failure(error))
        return work.result()

    @asynccontextmanager
    async def _held(self, *, on_request: bool = True) -> AsyncIterator[WorkerClient]:
        client = await self.acquire(on_request=on_request)
        try:
            yield client
        finally:
            self.release()

    async def acquire(self, *, on_request: bool = True) -> WorkerClient:
        """Returns the worker's client; starts a worker if there is none, unless a request may not (`on_request`).

        Concurrent callers share one load, which their cancellation does not stop. A model that is being unloaded is
        loaded again once it has left the memory. Until `release` is called, the model is not unloaded.

        Raises:
            UnavailableError: The model is still being unloaded after the queue timeout, its worker died, or the service
                is stopping.
            OverloadedError: The other models left no room in memory within the queue timeout.
            UnsupportedError: A request may not load the model, and it is not in memory.
            ServiceError: The load failed. During back-off, this is the last failure.
        """
        since = running_time().time()
        client = None
        while client is None:
            while self.status.state is State.UNLOADING and not self._closed:
                await self._unloaded(since)
            self._hold()
            try:
                client = await self._current(since, may_load=self._policy.load_on_request or not on_request)
            finally:
                if client is None:
                    self.release()
        return client

    async def _current(self, since: float, *, may_load: bool) -> WorkerClient | None:
        """Returns the worker's client, once it is loaded; None if the load was given up before this caller came."""
        if self._closed:
            raise UnavailableError("DRAINING", "the service is stopping")
        if self._client is not None and self.status.state is State.ACTIVE:
            return self._client
        if self._load is None:
            self._refuse_in_back_off()
            is_restart = self.status.state is State.FAILED and (self._error_is_loss or self._awaits_server)
            if not may_load and not is_restart:
                problem = f"model {self.status.id!r} is not loaded, and requests do not load it here"
                raise UnsupportedError("MODEL_NOT_LOADED", f"{problem}; LoadModel (POST /api/llms/{{id}}:load) does")
            self._load = asyncio.create_task(self._start())
            self._load.add_done_callback(self._end_load)
        return await self._loaded(self._load, since)

    def release(self) -> None:
        """Ends one `acquire`. A load that waits for room, or is to be unloaded, ends with its last caller."""
        self._holds -= 1
        if not self._holds:
            self._unheld.set()
            if self._load is not None and (self.awaits_room or self._unloading is not None):
                self._load.cancel()

    def _hold(self) -> None:
        self._holds += 1
        self._unheld.clear()

    async def _unloaded(self, since: float) -> None:
        """Waits for the end of the unload. Raises UnavailableError after the queue timeout, counted from `since`."""
        assert self._unloading is not None
        unloading, patience = self._unloading, self._policy.memory.patience
        while not unloading.done() and (left := since + patience - running_time().time()) > 0:
            await asyncio.wait({unloading}, timeout=left)
        if not unloading.done():
            problem = f"the model is being unloaded, and its last requests did not end within {patience:g} s"
            raise UnavailableError("MODEL_UNLOADING", problem)

    async def _loaded(self, load: asyncio.Task[WorkerClient], since: float) -> WorkerClient | None:
        """Waits for a load, and meanwhile for room in memory at most the queue timeout. None if it is cancelled."""
        patience = self._policy.memory.patience
        left = patience
        while left > 0 and not (await asyncio.wait({load}, timeout=left))[0]:
            # A load that begins to wait for room only now has all its time: one look in a timeout misses none.
            room_since = self._awaits_room_since
            left = patience if room_since is None else max(since, room_since) + patience - running_time().time()
        if not load.done():
            problem = f"all models in memory are busy, and none left it within {patience:g} s"
            raise OverloadedError(problem, patience)
        if load.cancelled():
            return None
        if load.exception() is not None:
            assert self._error is not None
            raise self._again(self._error)
        return load.result()

    async def unload(self) -> None:
        """Drains open requests, then stops the worker. Returns when the memory is free.

        Callers that wait for a load in progress are served first; one that nobody waits for is given up. The unload
        goes on if its caller leaves, such as a claim that times out, which would leave the model UNLOADING.
        """
        if self._unloading is None:
            self._unloading = self._background(self._unload())
        await asyncio.shield(self._unloading)

    async def _unload(self) -> None:
        try:
            if (load := self._load) is not None:
                if not self._holds:
                    load.cancel()
                await asyncio.wait({load})
            client = self._client
            if client is None:
                return
            self._set(State.UNLOADING)
            await self._unused()
            try:
                if self._client is client:  # Otherwise its process has died meanwhile.
                    self._client = None
                    await client.close()
            finally:
                self._policy.memory.leave(self)
                self._set(State.UNLOADED)
        finally:
            self._unloading = None

    async def close(self) -> None:
        """Stops the worker at once, without draining. Whoever waits for the model is refused from now on."""
        self._closed = True
        if self._server_watch is not None:
            self._server_watch.cancel()
        for server in self._servers:
            server.close()
        if (work := self._download or self._deletion) is not None:
            work.cancel()
            await asyncio.wait({work})
        if self._load is not None:
            self._load.cancel()
            await asyncio.wait({self._load})
        if self._client is not None:
            await self._client.close()
        self._cancel_idle_timer()

    async def watch(self) -> AsyncGenerator[ModelStatus]:
        """Yields the current status, then each change.

        Raises:
            UnavailableError: The service is stopping; see `end_watches`.
        """
        while not self._is_watched_no_more:
            changed = self._changed
            yield self.status
            await changed.wait()
        raise UnavailableError("DRAINING", "the service is stopping")

    def end_watches(self) -> None:
        """Ends all watches, which would hold up a drain."""
        self._is_watched_no_more = True
        self._changed.set()

    async def _start(self) -> WorkerClient:
        """Provides the files, claims memory, and starts the worker."""
        started = time.monotonic()
        if (work := self._download or self._deletion) is not None:
            await asyncio.wait({work})
        self._set(State.LOADING)
        files = await self._policy.sources.provide(self._reference, self._on_preparation)
        adapters = await self._policy.sources.adapters(self._adapter_files, files.paths[0], self._on_preparation)
        room, engine = Room(self._policy.memory.share, self._policy.memory.bytes), self._policy.engine
        added = tuple(adapters.values())
        counted = partial(estimate, files.paths, engine.context, room, engine.prefix_store, added, slots=engine.slots)
        offload = await self._offload()
        footprint = await read_files(partial(counted, offload=offload))
        self._warn_of_small_servers(footprint, offload)
        self._set(State.LOADING)
        await self._claim(footprint.total)
        try:
            client, info = await self._start_worker(files, footprint, adapters)
        except BaseException:
            self._policy.memory.leave(self)
            raise
        info = info._replace(state_bytes=footprint.state)
        self._log_context(info)
        self._client, self._active_since = client, time.monotonic()
        self._observer.loaded(self.status.id, self._active_since - started)
        self._set(State.ACTIVE, info=info, memory=footprint.total)
        self._used()
        return client

    async def _offload(self) -> Offload | None:
        """Returns what servers are to hold; None without them. Raises UnavailableError if one does not answer."""
        if not self._servers:
            return None
        return Offload(self._policy.engine.gpu.layers, await free_memory(self._servers))

    def _warn_of_small_servers(self, footprint: Footprint, offload: Offload | None) -> None:
        if offload is not None and footprint.away > offload.free:
            text = (
                "model %s: %d MiB are to be on RPC servers and this machine's GPUs, and the servers have %d MiB free; "
                "LLM_GPU_LAYERS can leave some layers to this machine"
            )
            logger.warning(text, self.status.id, footprint.away >> 20, offload.free >> 20)

    def _log_context(self, info: ModelInfo) -> None:
        asked, got, trained = self._policy.engine.context.length, info.context_length, info.trained_context_length
        if asked is not None and asked > got:
            logger.warning("model %s: the context length is limited to %d tokens, its trained one", self.status.id, got)
        if asked is None and got < trained:
            text = "model %s: the context has %d tokens of %d trained ones; LLM_CONTEXT_LENGTH can set another length"
            logger.info(text, self.status.id, got, trained)

    async def _claim(self, size: int) -> None:
        """Claims memory; waits for room as long as somebody waits for the load."""
        if self._policy.memory.has_room(size):
            await self._policy.memory.claim(self, size)
            return
        if not self._holds:
            raise asyncio.CancelledError  # Whom it was for has left meanwhile: no other model leaves for nobody.
        self._awaits_room_since = running_time().time()
        self._set(State.UNLOADED, reason="its load waits for other models to leave the memory")
        try:
            await self._policy.memory.claim(self, size)
        finally:
            self._awaits_room_since = None
        self._set(State.LOADING)

    async def _start_worker(
        self, files: ModelFiles, footprint: Footprint, adapters: Mapping[str, Path]
    ) -> tuple[WorkerClient, ModelInfo]:
        """Returns the client of a started worker, and the model's properties."""
        config = replace(
            self._policy.engine,
            model_path=files.paths[0],
            gpu=replace(self._policy.engine.gpu, servers=tuple(server.endpoint for server in self._servers)),
            tokenizer=files.tokenizer,
            load_timeout=self._policy.engine.load_timeout + footprint.weights // _SLOWEST_READ,
            context=footprint.context,
            adapters=adapters,
            cuts_vectors=self.status.id in self._policy.matryoshka,
            prefix_store=footprint.store,
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
            self._set(State.UNLOADED)
            return
        error = task.exception()
        if error is None:
            return
        failure = _failure(error)
        is_expected = isinstance(error, (ServiceError, OSError))
        logger.error("model %s cannot be loaded: %s", self.status.id, failure, exc_info=None if is_expected else error)
        self._fail(failure)
        if self._awaits_server and self._server_watch is None:
            self._server_watch = self._background(self._load_when_servers_answer())
            self._server_watch.add_done_callback(self._end_server_watch)

    async def _load_when_servers_answer(self) -> None:
        """Loads the model again as soon as all its RPC servers answer."""
        while self._awaits_server:
            await asyncio.sleep(max(self._back_off, 0.0))
            self._retry_at = time.monotonic() + RETRY  # No request asks the servers meanwhile.
            if self._awaits_server and await all_answer(self._servers):
                self._retry_at = 0.0
                await self._load_quietly()

    def _end_server_watch(self, _: asyncio.Task[None]) -> None:
        self._server_watch = None

    @property
    def _error_is_loss(self) -> bool:
        return self._error is not None and is_loss(self._error)

    @property
    def _awaits_server(self) -> bool:
        """Whether the last load failed since an RPC server did not answer, or was lost."""
        is_away = isinstance(self._error, UnavailableError) and self._error.reason in (RPC_SERVER_DOWN, RPC_SERVER_LOST)
        return is_away and self.status.state is State.FAILED

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
        client, self._client = self._client, None
        logger.error("model %s: %s", self.status.id, cause)
        if not client.lost_server:
            self._suspects.crashed(client.at_work)
        self._policy.memory.leave(self)
        if time.monotonic() - self._active_since > _STABLE_AFTER:
            self._failures = 0
        self._observer.crashed(self.status.id)
        self._observer.stepped(self.status.id, StepStats())
        if self.status.state is State.UNLOADING:
            return  # `_unload` goes on: what was to end has ended.
        reason = RPC_SERVER_LOST if client.lost_server else WORKER_DIED
        self._fail(UnavailableError(reason, f"the model is being restarted: {cause}"))
        client.retry_after = max(self._back_off, client.retry_after)
        self._restart_later()

    def _on_failed_step(self, works: tuple[Work, ...]) -> None:
        logger.error("model %s: a step failed", self.status.id)
        self._suspects.crashed(works)

    def _restart_later(self) -> None:
        asyncio.get_running_loop().call_later(max(self._back_off, 0.0), self._restart)

    def _restart(self) -> None:
        if self.status.state is State.FAILED and not self._closed:
            self._background(self._load_quietly())

    async def _load_quietly(self) -> None:
        with suppress(ServiceError):  # It is logged and in the status.
            await self.load()

    def _fail(self, error: ServiceError) -> None:
        if isinstance(error, UnavailableError) and error.reason == RPC_SERVER_DOWN:
            delay = RETRY
        else:
            doublings = min(self._failures - 1, _DOUBLINGS)
            delay = min(_FIRST_BACK_OFF * 2**doublings, _LONGEST_BACK_OFF) if self._failures else 0.0
            self._failures += 1
        self._retry_at = time.monotonic() + delay
        self._error = copy(error)  # Without the traceback, whose frames hold what the load was asked for.
        self._set(State.FAILED, reason=str(error))

    @property
    def _back_off(self) -> float:
        """Seconds until the next load may be tried; negative if it may be now."""
        return self._retry_at - time.monotonic()

    def _refuse_in_back_off(self) -> None:
        if self._error is not None and self._back_off > 0:
            raise self._again(self._error)

    def _again(self, error: ServiceError) -> ServiceError:
        """Returns a copy of the last failure to raise, with the rest of the back-off as the time to wait.

        A copy, because an exception object keeps the frames that it has passed, with their requests.
        """
        if isinstance(error, UnavailableError) and self._back_off > 0:
            return UnavailableError(error.reason, error.problem, self._back_off)
        return copy(error)

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
        context_length = info.context_length if info is not None else self.status.context_length
        self.status = replace(
            self.status,
            state=state,
            reason=reason,
            progress=progress,
            info=info,
            memory=memory,
            context_length=context_length,
        )
        self._observer.status_changed(self.status)
        self._changed.set()
        self._changed = asyncio.Event()


def _failure(error: BaseException) -> ServiceError:
    """Returns what the callers of a failed load are told. No path of the service is in it."""
    if isinstance(error, ServiceError):
        return error
    if not isinstance(error, OSError):
        return ModelFailedError("internal error; see the service's log")
    problem = f"what its load needs cannot be had: {error.strerror or type(error).__name__}"
    if error.errno in _EXHAUSTED:
        return UnavailableError("RESOURCES_EXHAUSTED", problem)
    return ModelFailedError(problem)
