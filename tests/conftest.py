"""What all tests share."""

import os
import signal
import ssl
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from coverage import Coverage
from httpx._transports import default

from tests.e2e.service import RunningService, run_service
from tests.fakes.gguf import write_tiny_model
from tests.fakes.ports import free_port


def pytest_configure() -> None:
    """Prepares what all tests share.

    Services get SIGHUP also where the tests run under nohup: a handler, unlike SIG_IGN, is not inherited. Clients of
    httpx share the system's certificates: reading them takes 35 ms of each one's time.
    """
    signal.signal(signal.SIGHUP, lambda *_: None)
    create, systems = default.create_ssl_context, cache(default.create_ssl_context)

    def create_once(*, verify: Any, cert: Any, trust_env: Any) -> ssl.SSLContext:
        return systems() if verify is True and cert is None else create(verify, cert, trust_env)

    default.create_ssl_context = create_once


LONGEST = {
    *("test_rpcs.py", "test_fetch.py", "test_faults.py", "test_models.py", "test_registry.py", "test_stop.py"),
    *("test_replicas.py", "test_under_load.py", "test_main.py", "test_constraint_corpus.py", "test_examples.py"),
}
"""Files that take longest, few tests each; a file runs in one process."""
UNMEASURED = {
    *("test_fetch.py", "test_answer_reader.py", "test_round_trips.py", "test_mutations.py"),
    *("test_constraint_corpus.py", "test_constraint_bombs.py", "test_tool_grammar.py"),
}
"""Files that run over and over what shorter ones have run: measured, Python is up to four times slower."""
END_TO_END = {"deploy", "docs", "e2e", "examples", "faults", "fuzz", "minilm", "smollm2"}
"""Rooms whose tests start programs: of these, the service that they share alone is measured."""
MEASURED_WHOLE = {"test_models.py"}
"""Their files of which all programs are measured: they run what no other measured test does."""
COVERAGE = "COVERAGE_PROCESS_CONFIG"
"""The variable by which processes that a test starts measure their coverage too."""


def is_measured(path: Path) -> bool:
    """Whether the coverage of the tests in this file is measured."""
    room = path.relative_to(Path(__file__).parent).parts[0]
    return path.name not in UNMEASURED and (room not in END_TO_END or path.name in MEASURED_WHOLE)


def pytest_unconfigure() -> None:
    """Keeps what was measured: a process of pytest-xdist is ended, and does not end by itself."""
    if running := Coverage.current():
        running.save()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begins with the longest files, so that all processes end at about the same time."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(scope="session", autouse=True)
def measures_coverage() -> dict[str, str]:
    """The variables that have a process measure its coverage, if this run measures any.

    Read before any file that goes unmeasured has them taken away.
    """
    return {COVERAGE: os.environ[COVERAGE]} if COVERAGE in os.environ else {}


@pytest.fixture(scope="module", autouse=True)
def coverage_rests(request: pytest.FixtureRequest) -> Iterator[None]:
    """Lets files be unmeasured, and the processes that they start."""
    running = Coverage.current()
    if is_measured(request.path) or running is None:
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(COVERAGE, raising=False)
        running.stop()
        yield
        running.start()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Hands the test its services idle: what an earlier test has cancelled may still run when that test has ended."""
    found = getattr(item, "funcargs", {})
    if "browser" in found:
        return  # An open page watches its model; its fixtures wait before they open one.
    for value in found.values():
        if isinstance(value, RunningService):
            value.wait_until_idle()


@pytest.fixture(scope="session")
def model_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with tiny models, and files that are no models.

    `plain.gguf` has no chat template. What `steady.gguf` computes for a token does not depend on those before it, so
    that it is the same to the last bit wherever a request lies in the cache: a seed gives the same text every time.
    """
    directory = tmp_path_factory.mktemp("models")
    tiny = write_tiny_model(directory / "tiny.gguf")
    write_tiny_model(directory / "plain.gguf", template=None, seed=1)
    write_tiny_model(directory / "steady.gguf", silent=True, seed=2)
    write_tiny_model(directory / "nan.gguf", value=float("nan"))
    (directory / "empty.gguf").touch()
    (directory / "truncated.gguf").write_bytes(tiny.read_bytes()[: tiny.stat().st_size // 2])
    (directory / "garbage.gguf").write_bytes(b"<html>not a model</html>" * 1000)
    return directory


@pytest.fixture(scope="session")
def tiny_model(model_directory: Path) -> Path:
    """The tiny model's path."""
    return model_directory / "tiny.gguf"


@pytest.fixture(scope="session")
def service(
    tmp_path_factory: pytest.TempPathFactory, model_directory: Path, measures_coverage: dict[str, str]
) -> Iterator[RunningService]:
    """One service for all tests that leave it as it was: tiny models, and some that are broken."""
    allowed = "tiny=tiny.gguf,plain.gguf,missing.gguf,empty.gguf,truncated.gguf,garbage.gguf,nan.gguf,steady.gguf"
    variables = {
        "LLM_ALLOWED_MODELS": allowed,
        "LLM_PRELOAD_MODELS": "tiny",
        "LLM_PROGRESS_INTERVAL": "0.2",
        "LLM_MAX_CONCURRENT_REQUESTS": "8",
        "LLM_KV_CACHE_TOKENS": "20000",
        "LLM_OLLAMA_PORT": str(free_port()),
        **measures_coverage,
    }
    with run_service(tmp_path_factory.mktemp("service"), model_directory, **variables) as running:
        yield running
        running.stop()  # A process that is killed keeps nothing of what it measured.
