"""Rate limit for reports."""

import time
from collections.abc import Callable


class Throttle:
    """Passes at most once per interval, given in seconds. Not thread-safe."""

    def __init__(self, interval: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = interval
        self._clock = clock
        self._passed_at = float("-inf")

    def passes(self) -> bool:
        """Returns whether the interval has elapsed since the last call that returned True."""
        now = self._clock()
        if now - self._passed_at < self._interval:
            return False
        self._passed_at = now
        return True
