"""One service for all end-to-end tests that leave it as it was."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest

from tests.e2e.service import RunningService, run_service


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory, model_directory: Path) -> Iterator[RunningService]:
    """A running service with the tiny model as `tiny`, and models that are broken."""
    allowed = "tiny=tiny.gguf,plain.gguf,missing.gguf,empty.gguf,truncated.gguf,garbage.gguf,nan.gguf"
    variables = {
        "LLM_ALLOWED_MODELS": allowed,
        "LLM_PRELOAD_MODELS": "tiny",
        "LLM_PROGRESS_INTERVAL": "0.2",
        "LLM_MAX_CONCURRENT_REQUESTS": "8",
        "LLM_KV_CACHE_TOKENS": "20000",
        "LLM_THREADS": "1",
    }
    with run_service(tmp_path_factory.mktemp("service"), model_directory, **variables) as running:
        yield running


@pytest.fixture
def http(service: RunningService) -> Iterator[httpx.Client]:
    """A REST client of the service."""
    with service.http() as client:
        yield client


@pytest.fixture
def channel(service: RunningService) -> Iterator[grpc.Channel]:
    """A gRPC channel straight to the service."""
    with grpc.insecure_channel(service.address) as channel:
        yield channel
