"""One service under load for all faults that leave it running."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.service import RunningService, run_service
from tests.faults.baseline import Baseline
from tests.faults.callers import Callers, Target

MODEL = "steady"
"""What it computes for a token does not depend on those before it: its greedy text is the same in any company."""
VARIABLES = {
    "LLM_ALLOWED_MODELS": "steady=steady.gguf,other=tiny.gguf",
    "LLM_PRELOAD_MODELS": "steady",
    "LLM_MAX_CONCURRENT_REQUESTS": "8",
    "LLM_KV_CACHE_TOKENS": "20000",
}


@dataclass
class Stage:
    """A service, and what it was before the faults."""

    service: RunningService
    baseline: Baseline

    @contextmanager
    def load(self, each: int = 1) -> Iterator[Callers]:
        """Yields callers whose load was seen; afterwards it is seen again, and the service is what it was."""
        with Callers(Target(self.service, MODEL), each) as callers:
            callers.floor()
            yield callers
            callers.floor()
        self.service.wait_until_idle()
        assert len(callers.texts()) == 1, callers.texts()
        self.baseline.check()

    def generated(self) -> float:
        """Returns the tokens that the model has generated, by the metrics."""
        return self.service.metric("completion_tokens_total", model=MODEL)

    def envoy_pid(self) -> int:
        """Returns the process id of the service's Envoy."""
        (pid,) = (pid for pid in self.service.children() if b"envoy" in Path(f"/proc/{pid}/cmdline").read_bytes())
        return pid


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, model_directory: Path) -> Iterator[Stage]:
    """A service that has been under load before."""
    with run_service(tmp_path_factory.mktemp("faults"), model_directory, **VARIABLES) as service:
        with Callers(Target(service, MODEL)) as callers:
            callers.floor()
        yield Stage(service, Baseline.of(service, MODEL))
