import logging
from collections.abc import Iterator

import pytest

from llm_inference_api.rpc.grpc_leak import free_failed_batches
from tests.fakes.collector import Collector, grpc_collector


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """Takes the spans of the module's servers."""
    with grpc_collector() as running:
        yield running


@pytest.fixture(scope="session", autouse=True)
def mended() -> None:
    """Has grpc.aio as the service has it."""
    free_failed_batches()


@pytest.fixture(autouse=True)
def access_log(caplog: pytest.LogCaptureFixture) -> None:
    """Lets the access log's lines be read."""
    caplog.set_level(logging.INFO, logger="llm_inference_api.access")
