"""The Envoy beside the service: its workers, and what a check of its port finds."""

import asyncio
import socket
from pathlib import Path

import pytest

from llm_inference_api.config.settings import Settings
from llm_inference_api.envoy import process as subject
from llm_inference_api.envoy.process import Listening, listening, listening_process
from llm_inference_api.errors import StartError
from tests.fakes.ports import free_port

SHORT, LONG = 0.05, 60.0
"""Seconds: for a port that never answers, and for one that does so at once."""
PATIENCE = 3.0
"""Seconds in which a process that computes gets a fifth of one on a busy machine."""


async def found(answer: bytes | None) -> Listening:
    """Returns what is found where a request is answered so; None for a connection that is closed without an answer."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer or b"")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        return await listening("127.0.0.1", server.sockets[0].getsockname()[1], LONG)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 503 Service Unavailable\r\n\r\n", b"\x15\x03\x01", None])
async def test_any_answer_is_one(answer: bytes | None) -> None:
    """An unhealthy service, a TLS alert and a connection that is closed all show that somebody listens."""
    assert await found(answer) is Listening.ANSWERS


async def test_closed_port_refuses() -> None:
    """The listener is gone."""
    assert await listening("127.0.0.1", free_port(), LONG) is Listening.REFUSED


@pytest.mark.parametrize(
    ("command", "state"), [("while :; do :; done", Listening.SLOW), ("exec sleep 600", Listening.SILENT)]
)
async def test_silent_process_that_computes_is_slow(command: str, state: Listening) -> None:
    """It has much to do, or little of a processor; one that hangs computes nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        process = await asyncio.create_subprocess_exec("sh", "-c", command)
        try:
            port = server.getsockname()[1]
            assert await listening_process(process.pid, "127.0.0.1", port, PATIENCE) is state
        finally:
            process.kill()
            await process.wait()


async def test_port_that_nobody_accepts_from_is_silent() -> None:
    """The kernel completes connections to a process that hangs."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert await listening("127.0.0.1", server.getsockname()[1], SHORT) is Listening.SILENT


async def test_port_that_is_taken_is_named_by_its_variable() -> None:
    """Before Envoy starts, which would only log it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(hostname="127.0.0.1", port=free_port(), ollama_port=taken.getsockname()[1])
        with pytest.raises(StartError, match=r"LLM_OLLAMA_PORT: 127\.0\.0\.1:"):
            await subject.EnvoyProcess(settings, lambda _: None).start(None)


async def test_envoy_has_as_many_workers_as_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default it would start one for each of the machine's, of which a container may have a share only."""
    monkeypatch.setattr(subject, "available_processors", lambda: 3)
    envoy = subject.EnvoyProcess(Settings(hostname="127.0.0.1", port=free_port()), lambda _: None)
    await envoy.start(None)
    try:
        assert envoy._process is not None
        threads = Path(f"/proc/{envoy._process.pid}/task")
        async with asyncio.timeout(30):
            while sum(path.read_text().startswith("wrk:worker") for path in threads.glob("*/comm")) != 3:  # noqa: ASYNC110, ASYNC240 - of /proc
                await asyncio.sleep(0.01)  # A thread names itself once it runs.
    finally:
        await envoy.stop()
