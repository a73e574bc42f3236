import asyncio
import os
import socket
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from llm_inference_api.config.settings import Settings
from llm_inference_api.rpc.ports import Ports, open_socket

LONG = 60.0


class FakeServer:
    """A server that stops when it may, or fails at once."""

    def __init__(self, error: Exception | None = None) -> None:
        self.stopped = False
        self._error = error

    async def stop(self, grace: float) -> None:
        if self._error is not None:
            raise self._error
        await asyncio.sleep(0)  # As a server does that has something to wait for.
        self.stopped = True


@pytest.mark.parametrize("broken", [0, 1])
async def test_server_that_cannot_stop_keeps_no_other_open(broken: int) -> None:
    """The services' server and that of health stop at the same time, and neither depends on the other."""
    servers: list[Any] = [FakeServer(), FakeServer()]
    servers[broken] = FakeServer(OSError("broken"))
    with pytest.raises(ExceptionGroup) as failed:
        await Ports(Settings(), *servers).close(LONG)
    assert [str(error) for error in failed.value.exceptions] == ["broken"]
    assert servers[1 - broken].stopped


@pytest.mark.parametrize(("more", "host"), [({}, "127.0.0.2"), ({"grpc_hostname": "127.0.0.3"}, "127.0.0.3")])
async def test_grpc_port_has_its_own_address(more: dict[str, str], host: str) -> None:
    """It is that of REST unless LLM_GRPC_HOSTNAME says otherwise."""
    settings = Settings(hostname="127.0.0.2", grpc_port=0, **more)  # type: ignore[arg-type]
    ports = Ports(settings, grpc.aio.server(), grpc.aio.server())
    try:
        port = await ports.open([])
        with socket.create_connection((host, port), LONG):
            pass
        for other in {"127.0.0.2", "127.0.0.3"} - {host}:
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((other, port), LONG)
    finally:
        await ports.close(0)


async def test_socket_is_never_open_to_others(tmp_path: Path) -> None:
    """Whatever this process's umask is, which is then as it was."""
    server, path = grpc.aio.server(), tmp_path / "grpc"
    before = os.umask(0)
    try:
        open_socket(server, path)
        assert os.umask(0) == 0
        assert path.stat().st_mode & 0o777 == 0o660
    finally:
        os.umask(before)
        await server.stop(0)
