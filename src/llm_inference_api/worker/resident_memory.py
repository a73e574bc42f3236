"""How much memory this process has."""

import os
import time
from contextlib import suppress
from pathlib import Path

_INTERVAL = 1.0
"""Seconds between looks; each costs some 20 microseconds."""


class ResidentMemory:
    """Looks now and then."""

    def __init__(self) -> None:
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._looked_at = float("-inf")
        self._bytes = 0

    def bytes(self) -> int:
        """Returns the bytes that were in memory a moment ago; 0 where the system does not say."""
        now = time.monotonic()
        if now - self._looked_at >= _INTERVAL:
            self._looked_at = now
            with suppress(OSError):
                self._bytes = int(Path("/proc/self/statm").read_text().split()[1]) * self._page
        return self._bytes
