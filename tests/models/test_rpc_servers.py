"""Servers that hold a part of a model: asked before the load, waited for while they are away."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from llm_inference_api.errors import UnavailableError
from llm_inference_api.models import served_model as subject
from llm_inference_api.models.rpc_servers import RpcServer, RpcServers, all_answer, free_memory
from llm_inference_api.models.served_model import ServedModel
from llm_inference_api.requests.model_status import State
from llm_inference_api.worker.client import WorkerClient
from tests.fakes.ports import free_port
from tests.fakes.rpc_server import rpc_server
from tests.fakes.workers import lose_server, serve_without_servers
from tests.models.test_registry import registry, request


async def test_memory_of_all_devices_counts() -> None:
    """Of all servers."""
    async with rpc_server(10, 20) as one, rpc_server(300) as other:
        servers = RpcServer(one.endpoint), RpcServer(other.endpoint)
        assert await free_memory(servers) == 330
        assert await all_answer(servers)


async def test_server_that_is_not_there_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """By its address in the log, and by its number to callers."""
    away = f"127.0.0.1:{free_port()}"
    async with rpc_server(10) as there:
        with pytest.raises(UnavailableError, match=r"server 2 of LLM_RPC_SERVERS.*nothing listens there") as caught:
            await free_memory((RpcServer(there.endpoint), RpcServer(away)))
        assert not await all_answer((RpcServer(there.endpoint), RpcServer(away)))
    assert (caught.value.reason, away in str(caught.value)) == ("RPC_SERVER_DOWN", False)
    assert f"RPC server {away}, number 2 of LLM_RPC_SERVERS: nothing listens there" in caplog.text


async def test_server_that_another_process_has_is_waited_for() -> None:
    """It accepts connections, and answers when the other one leaves: the connection stays open till then."""
    async with rpc_server(20, is_busy=True) as busy:
        server = RpcServer(busy.endpoint)
        with pytest.raises(UnavailableError, match="one process at a time, and another one may have it"):
            await free_memory((server,), timeout=0.2)
        busy.is_free.set()
        assert await free_memory((server,)) == 20
        assert busy.connections == 1


@pytest.mark.parametrize(
    ("behaviour", "says"),
    [
        ({"version": (6, 1, 0)}, r"speaks version 6\.1\.0 of the protocol, and 7\.x is needed"),
        ({"answer": b"HTTP/1.1 400 Bad Request\r\n\r\n"}, "no RPC server of llama.cpp"),
        ({"answer": b"\0"}, "ends the connection"),
    ],
)
async def test_server_of_another_kind_is_refused(behaviour: dict[str, object], says: str) -> None:
    """With what it is, as far as it says."""
    async with rpc_server(**behaviour) as other:  # type: ignore[arg-type]
        with pytest.raises(UnavailableError, match=says):
            await free_memory((RpcServer(other.endpoint),))


@asynccontextmanager
async def offloaded(
    directory: Path, monkeypatch: pytest.MonkeyPatch, target: object, *endpoints: str
) -> AsyncIterator[ServedModel]:
    """Yields a model of which servers hold a part, with a worker that needs none."""
    monkeypatch.setattr(subject, "WorkerClient", partial(WorkerClient, target=target))
    monkeypatch.setattr(subject, "RETRY", 0.05)
    servers = RpcServers("tiny.gguf", endpoints)
    async with registry("tiny.gguf", directory, rpc_servers=servers) as models, asyncio.timeout(60):
        yield models.get("tiny.gguf")  # type: ignore[misc]


async def until(model: ServedModel, state: State) -> None:
    async for status in model.watch():
        if status.state is state:
            return


async def test_model_is_loaded_once_its_server_answers(model_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a request: who comes meanwhile is told when to try again, and nobody else is concerned."""
    port = free_port()
    async with offloaded(model_directory, monkeypatch, serve_without_servers, f"127.0.0.1:{port}") as model:
        with pytest.raises(UnavailableError, match="nothing listens there") as caught:
            await model.load()
        assert caught.value.reason == "RPC_SERVER_DOWN"
        assert model.status.state is State.FAILED
        assert "LLM_RPC_SERVERS" in model.status.reason
        async with rpc_server(8 << 30, port=port):
            await until(model, State.ACTIVE)


async def test_lost_server_is_nobodys_fault(model_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The request that it was computing is no suspect; the model comes back with the server."""
    async with (
        rpc_server(8 << 30) as server,
        offloaded(model_directory, monkeypatch, lose_server, server.endpoint) as model,
    ):
        await model.load()
        stream = model.open(request(), {})
        monkeypatch.setattr(subject, "WorkerClient", partial(WorkerClient, target=serve_without_servers))
        stream.is_sent = True
        with pytest.raises(UnavailableError, match="a server that holds a part of the model is gone") as caught:
            await stream.next(None)
        stream.close()
        assert caught.value.reason == "RPC_SERVER_LOST"
        assert not model._suspects
        await until(model, State.ACTIVE)


async def test_other_models_have_no_servers(
    model_directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """They are loaded though the server of one is away."""
    caplog.set_level(logging.ERROR)
    servers = RpcServers("big", (f"127.0.0.1:{free_port()}",))
    async with registry("tiny.gguf,big=tiny.gguf", model_directory, rpc_servers=servers) as models:
        with pytest.raises(UnavailableError):
            await models.get("big").load()  # type: ignore[union-attr]
        model = models.get("tiny.gguf")
        await model.load()  # type: ignore[union-attr]
        assert model.status.state is State.ACTIVE


async def test_what_servers_hold_is_not_counted_here(
    model_directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A budget that the whole model exceeds suffices for the rest; servers without room for it are named in the log."""
    async with registry("tiny.gguf", model_directory) as models:
        await models.get("tiny.gguf").load()  # type: ignore[union-attr]
        whole = models.get("tiny.gguf").status.memory
    target = serve_without_servers
    async with rpc_server(1000) as server, offloaded(model_directory, monkeypatch, target, server.endpoint) as model:
        model._policy.memory.bytes = whole - 1
        await model.load()
        assert model.status.memory < whole - 200_000
    assert "the servers have 0 MiB free; LLM_GPU_LAYERS" in caplog.text
