"""Lets something through that comes more often than anybody needs it."""

import time


class Throttle:
    """Passes once an interval, of whatever length in seconds. For one thread."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._passed_at = float("-inf")

    def passes(self) -> bool:
        """Returns whether the interval is over since the last call that returned True."""
        now = time.monotonic()
        if now - self._passed_at < self._interval:
            return False
        self._passed_at = now
        return True
