"""What programs read of calls that failed without a word of the service."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import closing

import grpc
import pytest

from llm_inference.v1 import models_pb2, tokens_pb2
from llm_inference_client import ServiceError, aio, connect
from tests.client.service import FakeService
from tests.fakes.ports import free_port

Connect = Callable[..., None]


def connect_once(address: str, *, wait_for_ready: bool, connect_timeout: float) -> None:
    with connect(address, wait_for_ready=wait_for_ready, connect_timeout=connect_timeout):
        pass


def connect_once_in_asyncio(address: str, *, wait_for_ready: bool, connect_timeout: float) -> None:
    async def run() -> None:
        async with aio.connect(address, wait_for_ready=wait_for_ready, connect_timeout=connect_timeout):
            pass

    asyncio.run(run())


both = pytest.mark.parametrize("connect_to", [connect_once, connect_once_in_asyncio])


def reason(connect_to: Connect, address: str, *, wait_for_ready: bool = True, connect_timeout: float = 0.2) -> object:
    with pytest.raises(ServiceError, match=f"no service that is ready answers at {address}: ") as caught:
        connect_to(address, wait_for_ready=wait_for_ready, connect_timeout=connect_timeout)
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE
    return caught.value.reason


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of what takes connections and says nothing."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@both
def test_reason_is_that_nothing_answers(connect_to: Connect) -> None:
    assert reason(connect_to, f"127.0.0.1:{free_port()}") == "NOTHING_ANSWERS"


@both
def test_reason_is_that_the_host_has_no_address(connect_to: Connect) -> None:
    assert reason(connect_to, "nobody.invalid:1") == "HOST_NOT_FOUND"


@both
def test_reason_is_that_what_answers_is_silent(connect_to: Connect, silent: str) -> None:
    assert reason(connect_to, silent) == "NO_ANSWER"


@both
def test_reason_is_that_the_service_is_not_ready(connect_to: Connect, service: FakeService) -> None:
    service.set_ready(is_ready=False)
    assert reason(connect_to, service.address) == "NOT_READY"


@both
def test_failure_is_said_at_once_where_nobody_waits_for_a_service(connect_to: Connect) -> None:
    """Not after the hour."""
    address = f"127.0.0.1:{free_port()}"
    assert reason(connect_to, address, wait_for_ready=False, connect_timeout=3600) == "NOTHING_ANSWERS"


def test_service_that_is_not_ready_is_asked_where_nobody_waits(service: FakeService) -> None:
    """Such as for the model that has failed."""
    service.set_ready(is_ready=False)
    with connect(service.address, wait_for_ready=False) as client:
        assert len(list(client.models.WatchModel(models_pb2.WatchModelRequest(model="m")))) == 1


async def test_service_that_is_not_ready_is_asked_where_nobody_waits_in_asyncio(service: FakeService) -> None:
    service.set_ready(is_ready=False)
    async with aio.connect(service.address, wait_for_ready=False) as client:
        assert len([state async for state in client.models.WatchModel(models_pb2.WatchModelRequest(model="m"))]) == 1


@pytest.mark.parametrize(
    ("ask", "method"),
    [
        (lambda client: client.tokens.Tokenize(tokens_pb2.TokenizeRequest()), "TokenService/Tokenize"),
        (lambda client: client.models.ListModels(models_pb2.ListModelsRequest()), "ModelService/ListModels"),
    ],
    ids=["no such service", "no such method"],
)
def test_method_that_an_older_service_lacks_is_named(
    service: FakeService, ask: Callable[[object], object], method: str
) -> None:
    with connect(service.address) as client, pytest.raises(ServiceError) as caught:
        ask(client)
    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.UNIMPLEMENTED, "METHOD_NOT_FOUND")
    assert f"no method llm_inference.v1.{method}; it is an older service, or another one" in caught.value.message


async def test_method_that_an_older_service_lacks_is_named_in_asyncio(service: FakeService) -> None:
    async with aio.connect(service.address) as client:
        with pytest.raises(ServiceError, match=r"no method llm_inference\.v1\.TokenService/Tokenize") as caught:
            await client.tokens.Tokenize(tokens_pb2.TokenizeRequest())
    assert caught.value.reason == "METHOD_NOT_FOUND"
