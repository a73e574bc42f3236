"""What the health names say while models are loaded and while the service stops."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from llm_inference_api.requests.model_status import ModelStatus, State
from llm_inference_api.rpc.health import LIVE, PRELOADED, READY, Health

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


async def test_replica_is_not_preloaded_before_all_its_ports_are_open() -> None:
    """A small model may be loaded before Envoy listens, and probes ask gRPC on behalf of those who come over REST."""
    health = Health(["a"])
    await health.start(is_open=False)
    health.status_changed(ModelStatus("a", "a.gguf", State.ACTIVE))
    assert [await status(health, name) for name in (*READY, PRELOADED)] == [SERVING, SERVING, NOT_SERVING]
    await health.opened()
    assert await status(health, PRELOADED) == SERVING


async def test_stopping_replica_is_not_preloaded() -> None:
    """Not even where its model becomes active while it stops."""
    health = Health(["a"])
    await health.start()
    await health.stop()
    health.status_changed(ModelStatus("a", "a.gguf", State.ACTIVE))
    assert [await status(health, name) for name in (*READY, PRELOADED)] == [NOT_SERVING] * 3


@pytest.fixture
async def watched() -> AsyncIterator[tuple[Health, Any]]:
    """Health that is served, and a stub for it."""
    health, server = Health(), grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(health.servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await health.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield health, health_pb2_grpc.HealthStub(channel)
    await server.stop(5)


async def test_watch_ends_while_the_service_stops(watched: tuple[Health, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """One that a balancer has sent here would tell its caller, as long as the drain lasts, that nobody is ready."""
    monkeypatch.setattr("llm_inference_api.rpc.health.LAST_WATCH", 0.05)
    health, stub = watched
    request = health_pb2.HealthCheckRequest(service=PRELOADED)
    watch = stub.Watch(request)
    assert (await watch.read()).status == SERVING
    await health.stop()
    assert (await watch.read()).status == NOT_SERVING
    assert await watch.read() is grpc.aio.EOF
    assert [answer.status async for answer in stub.Watch(request)] == [NOT_SERVING]


async def test_replica_whose_model_fails_is_not_preloaded_until_it_is_loaded_again() -> None:
    """A balancer would send requests that wait for the load, or are refused; other models may serve on."""
    health = Health(["a"])
    health.status_changed(ModelStatus("b", "b.gguf"))
    await health.start()
    names = (*READY, PRELOADED)
    for state, is_preloaded in (
        (State.ACTIVE, SERVING),
        (State.FAILED, NOT_SERVING),
        (State.LOADING, NOT_SERVING),
        (State.ACTIVE, SERVING),
        (State.UNLOADING, SERVING),
    ):
        health.status_changed(ModelStatus("a", "a.gguf", state))
        assert [await status(health, name) for name in names] == [SERVING, SERVING, is_preloaded], state
    health.status_changed(ModelStatus("b", "b.gguf", State.FAILED))
    assert [await status(health, name) for name in names] == [SERVING] * 3


async def test_replica_whose_models_have_all_failed_is_not_ready() -> None:
    """No request can be answered there, until one of them is tried again."""
    health = Health()
    health.status_changed(ModelStatus("a", "x.gguf"))
    health.status_changed(ModelStatus("b", "x.gguf"))
    await health.start()
    for model in ("a", "b"):
        assert await status(health, "") == SERVING
        health.status_changed(ModelStatus(model, "x.gguf", State.FAILED))
    assert [await status(health, name) for name in (*READY, PRELOADED)] == [NOT_SERVING] * 3
    assert await status(health, LIVE) == SERVING, "REST callers are told why by the service, not by Envoy"
    health.status_changed(ModelStatus("a", "x.gguf", State.LOADING))
    assert await status(health, "") == SERVING
    await health.stop()


async def test_failed_model_does_not_make_a_service_known_that_has_not_started() -> None:
    """A probe that comes early hears that there is no such name yet."""
    health = Health(["a"])
    health.status_changed(ModelStatus("a", "a.gguf", State.FAILED))
    await asyncio.gather(*health._tasks)
    assert "" not in health._serving
    await health.start()
    assert await status(health, "") == NOT_SERVING
    assert await status(health, "live") == SERVING
