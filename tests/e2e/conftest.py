"""Clients of the service that all tests share."""

from collections.abc import Iterator

import grpc
import httpx
import pytest

from tests.e2e.service import RunningService, run_service


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


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service with the demo model alone."""
    directory = tmp_path_factory.mktemp("demo")
    with run_service(directory, directory, LLM_ALLOWED_MODELS="demo") as service:
        yield service
