"""Health statuses of the process and of each model, by service name of the gRPC health protocol."""

import asyncio
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from typing import Any

from grpc_health.v1 import health, health_pb2

from llm_inference.v1 import inference_pb2
from llm_inference_api.requests.model_status import ModelStatus, Observer, State

Status = health_pb2.HealthCheckResponse.ServingStatus
SERVICE: str = inference_pb2.DESCRIPTOR.services_by_name["InferenceService"].full_name
READY = ("", SERVICE)
"""Readiness: SERVING while requests are accepted, whether or not models are loaded, unless all models have failed."""
PRELOADED = "preloaded"
"""Readiness for load balancers: as `READY`, all ports are open, and each preloaded model has been loaded, and has not
failed since."""
LIVE = "live"
"""Liveness: always SERVING; a check that gets no answer means that the event loop is blocked."""


LAST_WATCH = 1.0
"""Seconds that a `Watch` lasts while the service stops. Whoever comes through a balancer asks another replica next, and
does not take the rest of this one's drain for everybody's; whoever does not asks once a second."""


def model_name(model: str) -> str:
    """Returns the health service name of a model."""
    return f"{SERVICE}/{model}"


class _Servicer(health.aio.HealthServicer):  # type: ignore[misc]
    """gRPC's own, whose watches end while the service stops."""

    def __init__(self) -> None:
        super().__init__()
        self._limits: set[asyncio.Timeout] = set()
        self._is_stopping = False

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Any) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WATCH if self._is_stopping else None) as limit:
                self._limits.add(limit)
                try:
                    await super().Watch(request, context)
                finally:
                    self._limits.discard(limit)

    def end_watches(self) -> None:
        """Ends all watches, and those that begin later, after `LAST_WATCH`."""
        self._is_stopping = True
        for limit in self._limits:
            limit.reschedule(asyncio.get_running_loop().time() + LAST_WATCH)


class Health(Observer):
    """Keeps the health statuses up to date. `servicer` serves them."""

    def __init__(self, preload: Iterable[str] = ()) -> None:
        self.servicer = _Servicer()
        self._missing = set(preload)
        """Preloaded models that were not loaded yet, or whose last load or worker has failed."""
        self._preload = frozenset(self._missing)
        self._failed: dict[str, bool] = {}
        """Whether a model is in the state FAILED, by id."""
        self._serving: dict[str, bool] = {}
        """What was set last, by service name."""
        self._is_started = False
        self._is_open = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, *, is_open: bool = True) -> None:
        """Sets readiness and liveness to SERVING, but for `PRELOADED` until all ports are open; see `opened`."""
        self._is_started, self._is_open = True, is_open
        await self._set(LIVE, serving=True)
        await self._set_readiness()

    async def opened(self) -> None:
        """Lets `PRELOADED` be SERVING: all ports are open, those of Envoy too, which starts beside the models."""
        self._is_open = True
        await self._set_readiness()

    async def stop(self) -> None:
        """Sets readiness to NOT_SERVING, and ends what watches it soon after."""
        self._is_started = False
        await self._set_readiness()
        self.servicer.end_watches()

    def status_changed(self, status: ModelStatus) -> None:
        """Sets a model's health: SERVING in the state ACTIVE, else NOT_SERVING; readiness follows."""
        self._failed[status.id] = status.state is State.FAILED
        if status.state is State.ACTIVE:
            self._missing.discard(status.id)
        elif status.state is State.FAILED and status.id in self._preload:
            self._missing.add(status.id)
        self._run(self._set(model_name(status.id), serving=status.state is State.ACTIVE))
        self._run(self._set_readiness())

    async def _set_readiness(self) -> None:
        if not self._is_started and LIVE not in self._serving:
            return  # Before the start, all names are unknown.
        for name in READY:
            await self._set(name, serving=self._is_ready)
        await self._set(PRELOADED, serving=self._is_ready and self._is_open and not self._missing)

    @property
    def _is_ready(self) -> bool:
        return self._is_started and not (self._failed and all(self._failed.values()))

    async def _set(self, name: str, *, serving: bool) -> None:
        """Sets a status where it changes: each setting wakes all that watch it."""
        if self._serving.get(name) is serving:
            return
        self._serving[name] = serving
        value = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        await self.servicer.set(name, value)

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
