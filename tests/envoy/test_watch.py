"""A client of two replicas behind their front, whose health it watches: the front chooses which one tells it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
from grpc_health.v1 import health_pb2_grpc

from llm_inference.v1 import inference_pb2, inference_pb2_grpc
from llm_inference_api.rpc.health import Health
from llm_inference_client import aio
from tests.e2e.replicas import Front, run_front


class Replica(inference_pb2_grpc.InferenceServiceServicer, grpc.aio.ServerInterceptor):
    """Says who it is; its health is the service's own."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.health = Health()
        self.is_watched = False
        self.port = 0

    async def Generate(self, request: Any, context: Any) -> Any:  # noqa: N802
        return inference_pb2.GenerateResponse(id=self.name)

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
        self.is_watched |= details.method.endswith("/Watch")
        return await continuation(details)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        server = grpc.aio.server(interceptors=[self])
        inference_pb2_grpc.add_InferenceServiceServicer_to_server(self, server)
        health_pb2_grpc.add_HealthServicer_to_server(self.health.servicer, server)
        self.port = server.add_insecure_port("127.0.0.1:0")
        await self.health.start()
        await server.start()
        yield
        await server.stop(0)


@asynccontextmanager
async def before(directory: Path, replicas: list[Replica]) -> AsyncIterator[Front]:
    """Yields the replicas' front."""
    with ExitStack() as stack:
        # In a thread, for the loop answers the front's health checks meanwhile.
        yield await asyncio.to_thread(stack.enter_context, run_front(directory, replicas))


async def test_drain_of_the_replica_that_tells_its_health_holds_up_no_client(tmp_path: Path) -> None:
    """However long the drain lasts: another replica is ready."""
    replicas = [Replica("a"), Replica("b")]
    async with AsyncExitStack() as stack:
        for replica in replicas:
            await stack.enter_async_context(replica.serve())
        front = await stack.enter_async_context(before(tmp_path, replicas))
        client = await stack.enter_async_context(aio.connect(front.address, connect_timeout=60))
        (stopping,) = (replica for replica in replicas if replica.is_watched)
        await stopping.health.stop()
        await asyncio.to_thread(front.wait_for_healthy, 1)
        for _ in range(4):
            answer = await client.inference.Generate(inference_pb2.GenerateRequest(), timeout=60)
            assert {answer.id, stopping.name} == {"a", "b"}
