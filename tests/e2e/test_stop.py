"""The end of a service whose parts do not stop as they should."""

import sys
from pathlib import Path

import pytest

from tests.e2e import service as launcher
from tests.e2e.secured import wait_until
from tests.e2e.service import is_alive, run_service

SERVER = """
import dataclasses, threading
from llm_inference_api import server
from llm_inference_api.envoy import EnvoyProcess
from llm_inference_api.observability.spans import Spans

build, stop_envoy = server.build, EnvoyProcess.stop

async def fail(envoy):
    await stop_envoy(envoy)
    raise RuntimeError("Envoy fell over")

EnvoyProcess.stop = fail
Spans.close = lambda spans: threading.Event().wait()
server.build = lambda *args, **options: dataclasses.replace(build(*args, **options), stop_limit=1.0)

from llm_inference_api.cli.main import main
main()
"""
"""The command line, with an Envoy that fails at its stop, and spans that nobody ever takes."""


def test_stop_ends_whatever_its_parts_do(
    tmp_path: Path, model_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One part fails and another blocks its thread for good: all processes end, and the exit code tells."""
    monkeypatch.setattr(launcher, "COMMAND", (sys.executable, "-c", SERVER))
    variables = {"LLM_ALLOWED_MODELS": "tiny=tiny.gguf", "LLM_PRELOAD_MODELS": "tiny", "LLM_THREADS": "1"}
    with run_service(tmp_path, model_directory, **variables) as running:
        children = running.children()
        assert len(children) >= 2, "a worker and an Envoy"
        assert running.stop() == 1
        wait_until(lambda: not any(map(is_alive, children)))  # Their pipes' ends are all that ends some of them.
        log = running.log()
    assert "Envoy: could not be stopped" in log
    assert "spans: could not be stopped" in log
    assert log.rstrip().endswith("RuntimeError: Envoy fell over")
