import asyncio
from typing import Any

import pytest

from llm_inference_api.config.settings import Settings
from llm_inference_api.rpc.ports import Ports

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
