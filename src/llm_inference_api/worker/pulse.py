"""Says that a lane of the worker is alive."""

from collections.abc import Callable

from llm_inference_api.processes.throttle import Throttle
from llm_inference_api.worker.messages import Alive, Lane

_LONGEST_INTERVAL = 1.0
"""Seconds between two reports of one lane."""
_REPORTS_PER_BOUND = 4
"""Reports within the time after which a silent lane is taken for hung, so that a late one does no harm."""


class Pulse:
    """Reports of one lane whose work takes long. For the lane's thread."""

    def __init__(self, lane: Lane, bound: float, send: Callable[[Alive], None]) -> None:
        """Takes the seconds of silence after which the lane is taken for hung."""
        self._report = Alive(lane)
        self._send = send
        self._throttle = Throttle(min(_LONGEST_INTERVAL, bound / _REPORTS_PER_BOUND))

    def beat(self) -> None:
        """Sends a report where the last one is old enough; meant to be called often."""
        if self._throttle.passes():
            self._send(self._report)
