"""The client for threads."""

from collections.abc import Callable

import grpc
import pytest
from opentelemetry.sdk.trace import TracerProvider

from llm_inference.v1 import inference_pb2, models_pb2
from llm_inference_client import TIMEOUT, Client, ServiceError, connect
from tests.client.service import FakeService
from tests.fakes.ports import free_port

ASK = inference_pb2.GenerateRequest(prompt="abc")
UNTIL_LEFT = inference_pb2.GenerateRequest(prompt="abc", max_tokens=1)


def test_call_is_answered(service: FakeService) -> None:
    with connect(service.address) as client:
        assert client.inference.Generate(ASK).text == "abc"
        assert client.inference.Generate.future(ASK).result().text == "abc"
        assert [part.text for part in client.inference.GenerateStream(ASK)] == ["a", "b", "c"]


@pytest.mark.parametrize(("given", "least", "most"), [(None, TIMEOUT - 60, TIMEOUT + 5), (20.0, 1, 25)])
def test_each_call_has_a_deadline(service: FakeService, given: float | None, least: float, most: float) -> None:
    with connect(service.address) as client:
        client.inference.Generate(ASK, timeout=given)
        list(client.inference.GenerateStream(ASK, timeout=given))
    assert [least <= (remaining or 0) <= most for _, remaining in service.seen] == [True, True]


@pytest.mark.parametrize(
    "ask",
    [
        lambda models: list(models.WatchModel(models_pb2.WatchModelRequest(model="m"))),
        lambda models: models.LoadModel(models_pb2.LoadModelRequest(model="m")),
        lambda models: models.UnloadModel(models_pb2.UnloadModelRequest(model="m")),
        lambda models: models.DownloadModel(models_pb2.DownloadModelRequest(model="m")),
    ],
    ids=["WatchModel", "LoadModel", "UnloadModel", "DownloadModel"],
)
def test_call_that_lasts_as_long_as_others_let_it_has_no_deadline(
    service: FakeService, ask: Callable[[object], object]
) -> None:
    """Its caller listens, a file is downloaded, or other callers' requests end first."""
    with connect(service.address) as client:
        ask(client.models)
    assert [remaining for _, remaining in service.seen] == [None]


def test_key_goes_with_each_call_and_gives_way_to_the_callers_own(service: FakeService) -> None:
    with connect(service.address, key="secret") as client:
        client.inference.Generate(ASK)
        client.inference.Generate(ASK, metadata=[("authorization", "Bearer other"), ("x-session-id", "7")])
    first, second = (metadata for metadata, _ in service.seen)
    assert first["authorization"] == "Bearer secret"
    assert (second["authorization"], second["x-session-id"]) == ("Bearer other", "7")


def test_current_span_goes_with_the_call(service: FakeService) -> None:
    tracer = TracerProvider().get_tracer("test")
    with connect(service.address) as client, tracer.start_as_current_span("asking") as span:
        client.inference.Generate(ASK)
    trace = f"{span.get_span_context().trace_id:032x}"
    assert service.seen[0][0]["traceparent"].startswith(f"00-{trace}-")


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.inference.Generate(ASK),
        lambda client: client.inference.Generate.future(ASK).result(),
        lambda client: list(client.inference.GenerateStream(ASK)),
    ],
)
def test_error_is_read(service: FakeService, ask: Callable[[Client], object]) -> None:
    service.refusals.append(grpc.StatusCode.INVALID_ARGUMENT)
    with connect(service.address) as client, pytest.raises(ServiceError) as caught:
        ask(client)
    error = caught.value
    assert (error.code, error.message) == (grpc.StatusCode.INVALID_ARGUMENT, "not now")
    assert (error.reason, error.field, error.retry_after) == ("OVERLOADED", "messages[0].role", 1.5)
    assert str(error) == "INVALID_ARGUMENT: not now"
    assert isinstance(error.__cause__, grpc.RpcError)


def test_refusal_of_a_service_that_stops_is_tried_again(service: FakeService) -> None:
    service.refusals += [grpc.StatusCode.UNAVAILABLE] * 2
    with connect(service.address) as client:
        assert client.inference.Generate(ASK).text == "abc"
    assert len(service.seen) == 3


def test_other_refusals_are_not_tried_again(service: FakeService) -> None:
    service.refusals.append(grpc.StatusCode.RESOURCE_EXHAUSTED)
    with connect(service.address) as client, pytest.raises(ServiceError):
        client.inference.Generate(ASK)
    assert len(service.seen) == 1


def test_stream_that_is_left_is_cancelled(service: FakeService) -> None:
    with connect(service.address) as client, client.inference.GenerateStream(UNTIL_LEFT) as parts:
        assert next(parts).text == "a"
        parts.__exit__()
        assert service.left.wait(30)  # Before the connection ends, which would end the call too.


def test_address_where_nothing_answers_is_said_at_once() -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(ServiceError, match=f"no service that is ready answers at {address}") as caught:
        connect(address, connect_timeout=0.2)
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE


def test_no_proxy_stands_before_this_machine(service: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    with connect(service.address) as client:
        assert client.inference.Generate(ASK).text == "abc"
