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
"""Readiness: SERVING while requests are accepted, whether or not models are loaded."""
PRELOADED = "preloaded"
"""Readiness for load balancers: as `READY`, and each preloaded model has been loaded once."""
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
        self._stopped = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Sets readiness and liveness to SERVING."""
        for name in (*READY, LIVE):
            await self.servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
        await self._set_preloaded()

    async def stop(self) -> None:
        """Sets readiness to NOT_SERVING."""
        self._stopped = True
        for name in READY:
            await self.servicer.set(name, health_pb2.HealthCheckResponse.NOT_SERVING)
        await self._set_preloaded()

    def status_changed(self, status: ModelStatus) -> None:
        """Sets a model's health: SERVING in the state ACTIVE, else NOT_SERVING."""
        serving = status.state is State.ACTIVE
        value = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        self._run(self.servicer.set(model_name(status.id), value))
        if serving and status.id in self._missing:
            self._missing.discard(status.id)
            self._run(self._set_preloaded())

    async def _set_preloaded(self) -> None:
        serving = not self._missing and not self._stopped
        value = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        await self.servicer.set(PRELOADED, value)

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
