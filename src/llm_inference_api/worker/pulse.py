"""Heartbeats of a worker's lane during long work, for the watchdog."""

from collections.abc import Callable

from llm_inference_api.processes.throttle import Throttle
from llm_inference_api.worker.messages import Alive, Lane

_LONGEST_INTERVAL = 1.0
"""Longest interval between two heartbeats, in seconds."""
_REPORTS_PER_BOUND = 4
"""Heartbeats per watchdog timeout; more than one, so that a single late heartbeat is harmless."""


class Pulse:
    """Rate-limited heartbeat of one lane. Not thread-safe: for the lane's thread."""

    def __init__(self, lane: Lane, bound: float, send: Callable[[Alive], None]) -> None:
        """Takes the lane, its watchdog timeout in seconds, and the function that sends a heartbeat."""
        self._report = Alive(lane)
        self._send = send
        self._throttle = Throttle(min(_LONGEST_INTERVAL, bound / _REPORTS_PER_BOUND))

    def beat(self) -> None:
        """Sends a heartbeat if the interval since the last one has passed. Cheap: may be called often."""
        if self._throttle.passes():
            self._send(self._report)
