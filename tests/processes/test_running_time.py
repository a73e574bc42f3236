"""The clock that stops while the process does, on an event loop's clock of the test's."""

import asyncio
from typing import Any

import pytest

from llm_inference_api.processes.running_time import RunningTime, running_time
from tests.fakes.clock import FakeClock


class Bench:
    """A clock over a fake loop, and when its calls were made, in the loop's seconds."""

    def __init__(self) -> None:
        self.loop = FakeClock()
        timers: Any = self.loop
        self.clock = RunningTime(timers)
        self.calls: list[float] = []

    def call_later(self, seconds: float) -> Any:
        return self.clock.call_later(seconds, lambda: self.calls.append(self.loop.now))


def test_call_is_made_at_its_time() -> None:
    """Without a pause the clock is the loop's."""
    bench = Bench()
    bench.call_later(10.0)
    bench.loop.advance(9.9)
    assert bench.calls == []
    bench.loop.advance(0.2)
    assert bench.calls == [10.0]


@pytest.mark.parametrize("pause", [0.7, 5.0, 3600.0])
def test_pause_does_not_count(pause: float) -> None:
    """However long the process is stopped, and wherever in the interval, the call comes later by that."""
    bench = Bench()
    bench.call_later(10.0)
    bench.loop.advance(3.0)
    bench.loop.stand_still(pause + 0.5)  # Up to half a second of it is not noticed.
    bench.loop.advance(6.4)
    assert bench.calls == []
    bench.loop.advance(0.6)
    assert len(bench.calls) == 1


def test_pause_at_the_last_moment_does_not_count() -> None:
    """A timer that falls due in the pause is not called right after it."""
    bench = Bench()
    bench.call_later(10.0)
    bench.loop.advance(9.0)
    bench.loop.stand_still(100.0)
    assert bench.calls == []
    bench.loop.advance(1.0)
    assert len(bench.calls) == 1


def test_many_short_pauses_do_not_count() -> None:
    """A process that runs every third second only has a third of the time."""
    bench = Bench()
    bench.call_later(10.0)
    for _ in range(9):
        bench.loop.advance(0.5)
        bench.loop.stand_still(1.0)
    assert bench.calls == []


def test_only_long_pauses_are_remembered() -> None:
    """What blocks the loop for less than a second needs no patience with others."""
    bench = Bench()
    bench.call_later(100.0)
    bench.loop.stand_still(1.2)
    assert bench.clock.time() < 1.2
    assert bench.clock.resumed_at == float("-inf")
    bench.loop.stand_still(5.0)
    assert bench.clock.resumed_at == bench.clock.time()


def test_cancelled_call_is_not_made() -> None:
    """Nor does it leave the loop anything to do, once the next look for pauses is over."""
    bench = Bench()
    bench.call_later(10.0).cancel()
    bench.loop.advance(20.0)
    assert bench.calls == []
    assert bench.loop.pending == []


async def test_timeout_raises_as_that_of_asyncio() -> None:
    """The block is cancelled and the TimeoutError raised outside it."""
    with pytest.raises(TimeoutError):
        async with running_time().timeout(0.01) as limit:
            await asyncio.Event().wait()
    assert limit.expired()
    async with running_time().timeout(10.0) as limit:
        pass
    assert not limit.expired()


async def test_loop_has_one_clock() -> None:
    """All parts of the service see the same pauses."""
    assert running_time() is running_time()
