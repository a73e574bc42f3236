"""A service whose parts are fakes: they say when they start and stop, and fail or hang when they are told to."""

import asyncio
import threading
from pathlib import Path
from typing import Any, Self

from llm_inference_api.config.settings import Settings
from llm_inference_api.observability.metrics import Metrics
from llm_inference_api.rpc.admission import Admission
from llm_inference_api.rpc.health import Health
from llm_inference_api.server import Service

PARTS = ("models", "last messages", "gRPC ports", "Envoy", "metrics port", "stored responses", "spans")
"""In the order of their stop."""


class Journal:
    """What has happened to the parts, and what each is to do."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.stopped: list[str] = []
        self.fails_to_start: str | None = None
        self.fails_to_stop: tuple[str, ...] = ()
        self.hangs: str | None = None
        self.never = threading.Event()
        """Whatever hangs in a thread waits for it."""

    def start(self, name: str) -> None:
        self.started.append(name)
        if name == self.fails_to_start:
            raise OSError(f"{name} does not start")

    def stop(self, name: str) -> None:
        self.stopped.append(name)
        if name in self.fails_to_stop:
            raise OSError(f"{name} does not stop")

    async def stop_or_hang(self, name: str) -> None:
        self.stop(name)
        if name == self.hangs:
            await asyncio.Event().wait()

    def stop_or_block(self, name: str) -> None:
        self.stop(name)
        if name == self.hangs:
            self.never.wait()


class FakeModels:
    """A registry, and each of its models."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def get(self, model: str) -> Self:
        return self

    async def load(self) -> None:
        """There is nothing to load."""

    async def close(self) -> None:
        await self._journal.stop_or_hang("models")


class FakeAdmission(Admission):
    """Admission with no RPC in flight."""

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self.closed = False
        self._journal = journal

    def close(self) -> None:
        super().close()
        self.closed = True

    async def empty(self, timeout: float) -> bool:
        await self._journal.stop_or_hang("last messages")
        return True


class FakePorts:
    """gRPC ports."""

    certificates = None

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def open(self, sockets: Any) -> int:
        list(sockets)
        self._journal.start("gRPC ports")
        return 50051

    async def close(self, grace: float) -> None:
        await self._journal.stop_or_hang("gRPC ports")


class FakeEnvoy:
    """A sidecar."""

    socket = Path("grpc")

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def start(self, certificates: None) -> None:
        self._journal.start("Envoy")

    async def stop(self) -> None:
        await self._journal.stop_or_hang("Envoy")


class FakeMetricsPort:
    """A thread's server."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def start(self) -> None:
        self._journal.start("metrics port")

    def stop(self) -> None:
        self._journal.stop_or_block("metrics port")


class FakeSpans:
    """Spans on their way to a collector."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def close(self) -> None:
        self._journal.stop_or_block("spans")


class FakeStore:
    """Responses that are kept."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def open(self) -> None:
        pass

    def close(self) -> None:
        self._journal.stop_or_block("stored responses")


def fake_service(journal: Journal, stop_limit: float) -> Service:
    """Returns a service of such parts; health and metrics are real, for there is nothing to stop about them."""
    parts: dict[str, Any] = {
        "registry": FakeModels(journal),
        "admission": FakeAdmission(journal),
        "spans": FakeSpans(journal),
        "store": FakeStore(journal),
        "ports": FakePorts(journal),
        "envoy": FakeEnvoy(journal),
        "metrics_port": FakeMetricsPort(journal),
    }
    return Service(settings=Settings(), health=Health(), metrics=Metrics("test"), stop_limit=stop_limit, **parts)
