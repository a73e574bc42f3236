"""Streams whose reader stops reading, over a real connection."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, TypeVar

import pytest

from llm_inference_api.errors import DeadlineError, WriteTimeoutError
from llm_inference_api.rpc import stalls
from llm_inference_api.rpc.call import Call
from tests.fakes.stalled_reader import stalled_reader
from tests.rpc.scripted import REQUEST, STREAM, Part, access_lines, scripted

Result = TypeVar("Result")
BODY = REQUEST.SerializeToString()


async def flood(_: Call) -> AsyncGenerator[Any]:
    """Has more to say than any window takes."""
    while True:
        yield Part(text="x" * 1000)


async def answer(_: Call) -> AsyncGenerator[Any]:
    """Has one message."""
    yield Part(text="x")


async def aside(work: Callable[..., Result], *arguments: Any) -> Result:
    """Runs what blocks beside the server."""
    return await asyncio.to_thread(work, *arguments)


@pytest.mark.parametrize("behaviour", [flood, answer])
async def test_reader_that_takes_nothing_is_ended(behaviour: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Log and metrics have the code; the reader has it as soon as it reads again; the call holds no place before."""
    caplog.set_level("INFO")
    async with scripted(behaviour, None, write_timeout=0.3) as running:
        with stalled_reader(running.port) as reader:
            await aside(reader.start, STREAM, BODY)
            while not running.counted():  # noqa: ASYNC110 - the metrics have no event
                await asyncio.sleep(0.01)
            assert running.counted() == {(STREAM, "DEADLINE_EXCEEDED"): 1}
            assert await running.admission.empty(10)
            await aside(reader.open_windows)
            assert await aside(reader.statuses) == ["4"]
    assert "nothing of the answer was read for 0.3 s" in access_lines(caplog)[-1]["error"]


async def test_others_are_not_slowed_by_readers_that_stop() -> None:
    """Also on the same server, while many writes are blocked."""
    async with scripted(flood, None, write_timeout=60.0) as running:
        with stalled_reader(running.port) as reader:
            for _ in range(20):
                await aside(reader.start, STREAM, BODY)
            call = running.stream()
            async with asyncio.timeout(10):
                for _ in range(200):
                    assert (await call.read()).text
            call.cancel()


async def test_reader_that_takes_its_time_is_served_whole() -> None:
    """Only a single write is limited, not the stream."""

    async def slow(_: Call) -> AsyncGenerator[Any]:
        for _ in range(8):
            await asyncio.sleep(0.1)
            yield Part(text="x")

    async with scripted(slow, None, write_timeout=0.3) as running:
        assert len([part async for part in running.stream()]) == 8


async def test_drain_does_not_wait_for_readers_that_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once new calls are refused, a blocked write has a few seconds only."""
    monkeypatch.setattr(stalls, "DRAIN_SECONDS", 0.2)
    async with scripted(flood, None, write_timeout=3600.0) as running:
        with stalled_reader(running.port) as reader:
            await aside(reader.start, STREAM, BODY)
            while not running.in_flight():  # noqa: ASYNC110 - the metrics have no event
                await asyncio.sleep(0.01)
            running.admission.close()
            assert await running.admission.empty(10)


async def test_handler_hears_why_its_stream_ends() -> None:
    """It records the end as what it is, not as a cancellation by the caller."""
    heard: list[BaseException] = []

    async def hearing(_: Call) -> AsyncGenerator[Any]:
        try:
            yield Part(text="x")
        except BaseException as error:
            heard.append(error)
            raise

    async with scripted(hearing, None, write_timeout=0.2) as running:
        with stalled_reader(running.port) as reader:
            await aside(reader.start, STREAM, BODY)
            async with asyncio.timeout(10):
                while not heard:  # noqa: ASYNC110 - the handler has no event
                    await asyncio.sleep(0.01)
    assert isinstance(heard[0], WriteTimeoutError)


async def test_time_limit_holds_while_a_write_is_blocked(endings: Callable[[Any], Awaitable[str]]) -> None:
    """The handler's own limit ends the call with its code, although the handler waits for its reader."""

    async def limited(_: Call) -> AsyncGenerator[Any]:
        limit = asyncio.timeout(0.2)
        try:
            async with limit:
                yield Part(text="x")
        except (TimeoutError, GeneratorExit):
            assert limit.expired()
            raise DeadlineError("too long") from None

    assert await endings(limited) == "DEADLINE_EXCEEDED"


@pytest.fixture
def endings() -> Callable[[Any], Awaitable[str]]:
    """Returns the code that a call to a handler ends with, whose reader reads nothing."""

    async def ending(behaviour: Any) -> str:
        async with scripted(behaviour, None, write_timeout=60.0) as running:
            with stalled_reader(running.port) as reader:
                await aside(reader.start, STREAM, BODY)
                async with asyncio.timeout(20):
                    while not running.counted():  # noqa: ASYNC110 - the metrics have no event
                        await asyncio.sleep(0.01)
                return next(code for _, code in running.counted())

    return ending
