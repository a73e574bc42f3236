"""What a service is when nobody asks it anything, and that it is so again after a fault."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx

from tests.e2e.service import RunningService

CANARY_TOKENS = 16
CANARY = {
    "messages": [{"role": "user", "content": "Is all well?"}],
    "temperature": 0,
    "max_tokens": CANARY_TOKENS,
    "ignore_eos": True,
}
SPARE = 2
"""Descriptors and threads more than before that are no leak: connections that keep alive."""
SPARE_BYTES = 100 << 20
PATIENCE = 20.0
"""Seconds in which connections end that keep alive."""


@dataclass(frozen=True)
class Process:
    """What a process holds."""

    descriptors: int
    threads: int
    resident: int
    """Bytes."""

    @classmethod
    def of(cls, pid: int) -> Self:
        """Returns what the process holds now."""
        directory = Path(f"/proc/{pid}")
        status = dict(line.split(":", 1) for line in (directory / "status").read_text().splitlines())
        resident = int(status["VmRSS"].split()[0]) << 10
        return cls(len(list((directory / "fd").iterdir())), int(status["Threads"]), resident)


@dataclass(frozen=True)
class Baseline:
    """The service's own process, the number of its children, and the answer to a question that is always the same."""

    service: RunningService
    model: str
    server: Process
    children: int
    canary: str

    @classmethod
    def of(cls, service: RunningService, model: str) -> Self:
        """Returns what the service is now; call it after a first load, when all that is made once has been made."""
        service.wait_until_idle()
        return cls(service, model, Process.of(service.process.pid), len(service.children()), canary(service, model))

    def check(self) -> None:
        """Fails where the service does not become what it was: connections that keep alive end a little later."""
        service = self.service
        assert canary(service, self.model) == self.canary
        service.wait_until_idle()
        deadline = time.monotonic() + PATIENCE
        while not self._is_back(now := Process.of(service.process.pid)):
            assert time.monotonic() < deadline, (self.server, now)
            time.sleep(0.2)
        assert len(service.children()) == self.children

    def _is_back(self, now: Process) -> bool:
        return (
            now.descriptors <= self.server.descriptors + SPARE
            and now.threads <= self.server.threads + SPARE
            and now.resident <= self.server.resident + SPARE_BYTES
        )


def canary(service: RunningService, model: str) -> str:
    """Returns the greedy answer to the question."""
    answer = httpx.post(f"{service.url}/api/chat", json={**CANARY, "model": model}, timeout=60)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["message"]["content"])
