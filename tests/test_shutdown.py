"""Whatever a part does when it is stopped, the others are stopped too, and the end comes."""

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from llm_inference_api.shutdown import Shutdown, all_stopped

LONG = 60.0
"""Seconds; none of what has this limit takes any time."""
SHORT = 0.01


Stop = Callable[[], Coroutine[Any, Any, None]]


class Parts:
    """Parts that note their stop before they do what they are to do."""

    def __init__(self) -> None:
        self.stopped: list[str] = []

    def good(self, name: str) -> Stop:
        async def stop() -> None:
            self.stopped.append(name)

        return stop

    def failing(self, name: str, error: BaseException) -> Stop:
        async def stop() -> None:
            self.stopped.append(name)
            raise error

        return stop

    def hanging(self, name: str) -> Stop:
        async def stop() -> None:
            self.stopped.append(name)
            await asyncio.Event().wait()

        return stop


@pytest.fixture
def parts() -> Parts:
    return Parts()


async def run(limit: float, **stops: Stop) -> None:
    """Runs a block that does nothing with these parts."""
    async with Shutdown(limit) as shutdown:
        for name, stop in stops.items():
            shutdown.add(name, stop)


async def run_blocking(limit: float, name: str, work: Callable[[], object]) -> None:
    """Runs a block that does nothing with one part."""
    async with Shutdown(limit) as shutdown:
        shutdown.add_blocking(name, work)


async def test_last_part_is_stopped_first(parts: Parts) -> None:
    """As things are built upon each other."""
    async with Shutdown(LONG) as shutdown:
        for name in "abc":
            shutdown.add(name, parts.good(name))
        assert parts.stopped == []
    assert parts.stopped == ["c", "b", "a"]


async def test_first_failure_is_raised_and_all_are_logged(parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
    """The log has the traceback of each."""
    a, b = parts.failing("a", ValueError("of a")), parts.failing("b", OSError("of b"))
    with caplog.at_level(logging.ERROR), pytest.raises(OSError, match="of b"):
        await run(LONG, a=a, b=b, c=parts.good("c"))
    assert parts.stopped == ["c", "b", "a"]
    assert [(record.getMessage(), record.exc_info and record.exc_info[0]) for record in caplog.records] == [
        ("b: could not be stopped", OSError),
        ("a: could not be stopped", ValueError),
    ]
    assert caplog.text.count("Traceback") == 2


async def test_part_that_hangs_is_given_up(parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
    """It is cancelled, and the log says where it hung."""
    with pytest.raises(TimeoutError, match=r"^b: not stopped within 0\.01 s$"):
        await run(SHORT, a=parts.good("a"), b=parts.hanging("b"))
    assert parts.stopped == ["b", "a"]
    assert "await asyncio.Event().wait()" in caplog.text


async def test_parts_own_limit_is_not_taken_for_ours(parts: Parts) -> None:
    """A part's TimeoutError stays what it is."""
    with pytest.raises(TimeoutError, match=r"^its own$"):
        await run(LONG, a=parts.failing("a", TimeoutError("its own")))


async def test_part_that_runs_into_a_cancelled_task_has_failed(parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody has cancelled the stop itself."""
    with pytest.raises(asyncio.CancelledError):
        await run(LONG, a=parts.good("a"), b=parts.failing("b", asyncio.CancelledError()))
    assert parts.stopped == ["b", "a"]
    assert "b: could not be stopped" in caplog.text


async def test_stop_that_is_cancelled_stops_the_rest(parts: Parts) -> None:
    """The part that it waits for is left, and no other."""
    reached = asyncio.Event()

    async def hang() -> None:
        reached.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(run(LONG, a=parts.good("a"), b=hang))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert parts.stopped == ["a"]


async def test_error_of_the_block_comes_first(parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
    """What the stop adds to it is in the log only."""

    async def fail() -> None:
        async with Shutdown(LONG) as shutdown:
            shutdown.add("a", parts.failing("a", ValueError("of a")))
            raise KeyError("block")

    with pytest.raises(KeyError, match="block"):
        await fail()
    assert "of a" in caplog.text


async def test_blocking_part_does_not_hold_the_event_loop(parts: Parts) -> None:
    """It has a thread of its own, and is waited for."""
    loop, seen = asyncio.get_running_loop(), threading.Event()

    def stop() -> None:
        loop.call_soon_threadsafe(seen.set)
        assert seen.wait(LONG)
        parts.stopped.append("a")

    await run_blocking(LONG, "a", stop)
    assert parts.stopped == ["a"]


async def test_blocking_part_that_fails_is_a_failure() -> None:
    """What it raises in its thread is raised here."""
    with pytest.raises(ZeroDivisionError):
        await run_blocking(LONG, "a", lambda: 1 / 0)


async def test_blocking_part_that_hangs_is_given_up() -> None:
    """Its thread, which nobody can cancel, is one that Python does not wait for."""
    release = threading.Event()
    with pytest.raises(TimeoutError, match=r"^b: not stopped"):
        await run_blocking(SHORT, "b", release.wait)
    (thread,) = (thread for thread in threading.enumerate() if thread.name == "stop b")
    assert thread.daemon
    release.set()
    thread.join(LONG)


async def test_several_at_once_all_end_before_one_fails(parts: Parts) -> None:
    """One that fails early does not let the others be left behind."""
    turn = asyncio.Event()

    async def late() -> None:
        await turn.wait()
        parts.stopped.append("late")

    async def early() -> None:
        asyncio.get_running_loop().call_soon(turn.set)
        raise ValueError("early")

    with pytest.raises(ExceptionGroup) as failed:
        await all_stopped(early(), late())
    assert [str(error) for error in failed.value.exceptions] == ["early"]
    assert parts.stopped == ["late"]


async def test_several_at_once_may_all_end_well(parts: Parts) -> None:
    """Nothing is raised then."""
    await all_stopped(parts.good("a")(), parts.good("b")())
    assert sorted(parts.stopped) == ["a", "b"]
