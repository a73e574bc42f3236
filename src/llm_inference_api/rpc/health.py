"""Health statuses of the process and of each model, by service name of the gRPC health protocol."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

from grpc_health.v1 import health, health_pb2

from llm_inference.v1 import inference_pb2
from llm_inference_api.requests.model_status import ModelStatus, Observer, State

Status = health_pb2.HealthCheckResponse.ServingStatus
SERVICE: str = inference_pb2.DESCRIPTOR.services_by_name["InferenceService"].full_name
READY = ("", SERVICE)
"""Readiness: SERVING while requests are accepted, whether or not models are loaded, unless all models have failed."""
PRELOADED = "preloaded"
"""Readiness for load balancers: as `READY`, and each preloaded model has been loaded, and has not failed since."""
LIVE = "live"
"""Liveness: always SERVING; a check that gets no answer means that the event loop is blocked."""


def model_name(model: str) -> str:
    """Returns the health service name of a model."""
    return f"{SERVICE}/{model}"


class Health(Observer):
    """Keeps the health statuses up to date. `servicer` serves them."""

    def __init__(self, preload: Iterable[str] = ()) -> None:
        self.servicer = health.aio.HealthServicer()
        self._missing = set(preload)
        """Preloaded models that were not loaded yet, or whose last load or worker has failed."""
        self._preload = frozenset(self._missing)
        self._failed: dict[str, bool] = {}
        """Whether a model is in the state FAILED, by id."""
        self._serving: dict[str, bool] = {}
        """What was set last, by service name."""
        self._is_started = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Sets readiness and liveness to SERVING."""
        self._is_started = True
        await self._set(LIVE, serving=True)
        await self._set_readiness()

    async def stop(self) -> None:
        """Sets readiness to NOT_SERVING."""
        self._is_started = False
        await self._set_readiness()

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
        await self._set(PRELOADED, serving=self._is_ready and not self._missing)

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
