"""What the health names say while models are loaded and while the service stops."""

import asyncio

from grpc_health.v1 import health_pb2

from llm_inference_api.requests.model_status import ModelStatus, State
from llm_inference_api.rpc.health import PRELOADED, READY, Health

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def status(health: Health, name: str) -> int:
    await asyncio.gather(*health._tasks)
    answer = await health.servicer.Check(health_pb2.HealthCheckRequest(service=name), None)  # type: ignore[arg-type]
    return int(answer.status)


async def test_replica_is_preloaded_once_all_its_models_were_in_memory() -> None:
    """A replica takes requests at once, but a balancer waits until none of them would wait for a load."""
    health = Health(["a", "b"])
    await health.start()
    health.status_changed(ModelStatus("a", "a.gguf", State.ACTIVE))
    health.status_changed(ModelStatus("b", "b.gguf", State.LOADING))
    assert [await status(health, name) for name in (*READY, PRELOADED)] == [SERVING, SERVING, NOT_SERVING]
    health.status_changed(ModelStatus("b", "b.gguf", State.ACTIVE))
    assert await status(health, PRELOADED) == SERVING
    health.status_changed(ModelStatus("a", "a.gguf", State.UNLOADED))
    assert await status(health, PRELOADED) == SERVING


async def test_replica_without_models_to_preload_is_preloaded() -> None:
    """Its models are loaded when they are asked for."""
    health = Health()
    await health.start()
    assert await status(health, PRELOADED) == SERVING


async def test_stopping_replica_is_not_preloaded() -> None:
    """Not even where its model becomes active while it stops."""
    health = Health(["a"])
    await health.start()
    await health.stop()
    health.status_changed(ModelStatus("a", "a.gguf", State.ACTIVE))
    assert [await status(health, name) for name in (*READY, PRELOADED)] == [NOT_SERVING] * 3
