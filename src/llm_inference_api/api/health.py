"""What the service says of its health, by the names of the gRPC health protocol."""

import asyncio

from grpc_health.v1 import health, health_pb2

from llm_inference.v1 import inference_pb2
from llm_inference_api.models.status import ModelStatus, Observer, State

Status = health_pb2.HealthCheckResponse.ServingStatus
SERVICE: str = inference_pb2.DESCRIPTOR.services_by_name["InferenceService"].full_name
READY = ("", SERVICE)
"""Whether requests are taken. A model that is being loaded changes nothing here."""
LIVE = "live"
"""Whether the event loop turns; always SERVING, for whoever gets an answer at all."""


def model_name(model: str) -> str:
    """Returns the name under which a model's own health stands."""
    return f"{SERVICE}/{model}"


class Health(Observer):
    """Keeps the statuses of the process and of each model."""

    def __init__(self) -> None:
        self.servicer = health.aio.HealthServicer()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Says that requests are taken."""
        for name in (*READY, LIVE):
            await self.servicer.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def stop(self) -> None:
        """Says that no further requests should come."""
        for name in READY:
            await self.servicer.set(name, health_pb2.HealthCheckResponse.NOT_SERVING)

    def status_changed(self, status: ModelStatus) -> None:
        """A model's health is SERVING while it is active."""
        serving = status.state is State.ACTIVE
        value = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        task = asyncio.ensure_future(self.servicer.set(model_name(status.id), value))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
