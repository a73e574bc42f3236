"""A clock that goes on when it is told to, with an event loop's timers."""

from collections.abc import Callable


class FakeTimer:
    """One call at a time to come."""

    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self._when = when
        self.callback = callback
        self.cancelled = False

    def when(self) -> float:
        """Returns the time."""
        return self._when

    def cancel(self) -> None:
        """Lets it not be called."""
        self.cancelled = True


class FakeClock:
    """Starts at 0 seconds, on time or, where a process stands still, late."""

    def __init__(self) -> None:
        self.now = 0.0
        self._timers: list[FakeTimer] = []

    def time(self) -> float:
        """Returns the seconds since the start."""
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> FakeTimer:
        """Lets the callback be called when the clock comes to that time."""
        timer = FakeTimer(when, callback)
        self._timers.append(timer)
        return timer

    @property
    def pending(self) -> list[float]:
        """The times of the calls to come."""
        return sorted(timer.when() for timer in self._timers if not timer.cancelled)

    def advance(self, seconds: float) -> None:
        """Goes on, and calls what is due on the way at its time."""
        end = self.now + seconds
        while self.pending and self.pending[0] <= end:
            self.now = max(self.now, self.pending[0])
            self._call_due()
        self.now = end

    def stand_still(self, seconds: float) -> None:
        """Goes on, and calls what was due on the way at the end of it, as after a SIGSTOP."""
        self.now += seconds
        self._call_due()

    def _call_due(self) -> None:
        due = [timer for timer in self._timers if timer.when() <= self.now]
        self._timers = [timer for timer in self._timers if timer not in due]
        for timer in due:
            if not timer.cancelled:
                timer.callback()
