"""The actor that passes the replicas' reports on to all servers of a cluster."""

import asyncio
import time
from collections import deque

from llm_inference_api.cluster.report import Report

EXPIRY = 5.0
"""Seconds without a report after which a replica is gone."""
_LOG = 4096
"""Number of latest reports that a server which was away can still get."""
_POLL = 1.0
"""Seconds after which a poll returns without news."""


class Board:
    """Keeps the last report of each replica, and the latest ones in order. Runs in an actor's event loop."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[Report, float]] = {}
        """By replica: its last report, and when that came."""
        self._log: deque[Report] = deque(maxlen=_LOG)
        self._count = 0
        """Number of all reports so far."""
        self._changed = asyncio.Event()

    async def report(self, report: Report) -> None:
        """Takes a replica's report."""
        if report.status is None:
            self._last.pop(report.replica, None)
        else:
            self._last[report.replica] = report, time.monotonic()
        self._log.append(report)
        self._count += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def since(self, count: int | None) -> tuple[int, list[Report]]:
        """Returns the number of all reports so far, and those after the first `count`; waits a while for some.

        Returns the last report of each replica, without its counters, where the count is None or of another board.
        """
        await self._expire()
        if count is None or not 0 <= self._count - count <= len(self._log):
            last = (report for report, _ in self._last.values())
            return self._count, [report._replace(steps=report.steps[-1:], loads=(), crashes=0) for report in last]
        if count == self._count:
            try:
                async with asyncio.timeout(_POLL):
                    await self._changed.wait()
            except TimeoutError:
                pass
        new = self._count - count
        return self._count, list(self._log)[len(self._log) - new :] if new else []

    async def _expire(self) -> None:
        overdue = time.monotonic() - EXPIRY
        for report, at in list(self._last.values()):
            if at < overdue:
                await self.report(Report(report.model, report.replica, None))
