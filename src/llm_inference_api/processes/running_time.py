"""Time that this process has run: the event loop's time without the pauses of the process.

A process pauses where it is stopped (SIGSTOP), its container is frozen or starved, or its event loop is blocked. Its
timers are late then. What it waits for was often paused with it, so that a limit in plain seconds would blame a worker
or a caller for the pause. Time in which the machine is suspended is in neither clock: Linux's monotonic clock stops.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Protocol
from weakref import WeakKeyDictionary

_TICK = 0.5
"""Seconds between the timers that notice pauses."""
_LATE = 0.1
"""Seconds of a timer's delay that are usual on a busy machine, and count as time that the process has run."""
_LONG = 1.0
"""Seconds of a pause after which others that were paused too may need time to go on."""


class Handle(Protocol):
    """A scheduled call."""

    def when(self) -> float:
        """Returns the scheduled time in seconds."""

    def cancel(self) -> None:
        """Cancels the call."""


class Timers(Protocol):
    """The part of an event loop that this module needs."""

    def time(self) -> float:
        """Returns the loop's time in seconds."""

    def call_at(self, when: float, callback: Callable[[], None]) -> Handle:
        """Schedules the callback for that time."""


class RunningTime:
    """Clock and timers in seconds that the process has run. Notices pauses only while it has timers."""

    def __init__(self, timers: Timers) -> None:
        self.resumed_at = float("-inf")
        """Time of this clock at the last pause of at least `_LONG` seconds."""
        self._paused = 0.0
        """Seconds of all pauses that were noticed."""
        self._timers = timers
        self._tick: Handle | None = None
        self._pending = 0

    def time(self) -> float:
        """Returns the time in seconds; only differences have a meaning."""
        now = self._timers.time()
        if self._tick is not None and (late := now - self._tick.when()) > _LATE:
            self._paused += late
            self._tick.cancel()
            self._tick = self._timers.call_at(now + _TICK, self._go_on)
            if late >= _LONG:
                self.resumed_at = now - self._paused
        return now - self._paused

    def call_at(self, when: float, callback: Callable[[], None]) -> "RunningTimer":
        """Schedules the callback for that time of this clock; it is called later by the pauses until then."""
        self._pending += 1
        if self._tick is None:
            self._tick = self._timers.call_at(self._timers.time() + _TICK, self._go_on)
        return RunningTimer(self, when, callback)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> "RunningTimer":
        """Schedules the callback for so many seconds later."""
        return self.call_at(self.time() + seconds, callback)

    @asynccontextmanager
    async def timeout(self, seconds: float) -> AsyncGenerator[asyncio.Timeout]:
        """Limits the duration of the block. Raises TimeoutError as `asyncio.timeout`, whose object it yields."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(None) as limit:
            timer = self.call_later(seconds, lambda: limit.reschedule(loop.time()))
            try:
                yield limit
            finally:
                timer.cancel()

    def close(self) -> None:
        """Stops noticing pauses, until the next timer."""
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None

    def schedule(self, when: float, callback: Callable[[], None]) -> Handle:
        """Schedules the callback in the event loop for that time of this clock, if there is no pause until then."""
        return self._timers.call_at(self._timers.time() + when - self.time(), callback)

    def release(self) -> None:
        """Counts a timer as done."""
        self._pending -= 1

    def _go_on(self) -> None:
        assert self._tick is not None
        self.time()
        if self._pending:
            self._tick.cancel()
            self._tick = self._timers.call_at(self._timers.time() + _TICK, self._go_on)
        else:
            self.close()


class RunningTimer:
    """A call that is scheduled in a `RunningTime`."""

    def __init__(self, clock: RunningTime, when: float, callback: Callable[[], None]) -> None:
        self._clock = clock
        self._when = when
        self._callback = callback
        self._handle: Handle | None = clock.schedule(when, self._fire)

    def when(self) -> float:
        """Returns the scheduled time in seconds of the clock."""
        return self._when

    def cancel(self) -> None:
        """Cancels the call; has no effect once it was made."""
        if self._handle is not None:
            self._handle.cancel()
            self._end()

    def _fire(self) -> None:
        if self._clock.time() < self._when:
            self._handle = self._clock.schedule(self._when, self._fire)
            return
        self._end()
        self._callback()

    def _end(self) -> None:
        self._handle = None
        self._clock.release()


_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, RunningTime] = WeakKeyDictionary()


def running_time() -> RunningTime:
    """Returns the clock of the running event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _of_loops:
        _of_loops[loop] = RunningTime(loop)
    return _of_loops[loop]
