"""The gRPC surface, straight and through Envoy, with our stubs and with a client that knows only reflection."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from llm_inference.v1 import inference_pb2, models_pb2
from llm_inference.web.v1 import operations_pb2, operations_pb2_grpc, pages_pb2, pages_pb2_grpc
from tests.e2e.service import RunningService, as_dict, inference, models

Health = health_pb2.HealthCheckResponse
SERVICE = "llm_inference.v1.InferenceService"


@pytest.fixture(params=["direct", "envoy"])
def either(request: pytest.FixtureRequest, service: RunningService) -> Iterator[grpc.Channel]:
    """A channel straight to the service, then one through Envoy."""
    address = service.address if request.param == "direct" else service.through_envoy
    with grpc.insecure_channel(address) as channel:
        yield channel


def prompt(**fields: Any) -> inference_pb2.GenerateRequest:
    return inference_pb2.GenerateRequest(
        **{
            "model": "tiny",
            "prompt": "hello",
            "max_tokens": 12,
            "seed": 7,
            "temperature": 0,
            "ignore_eos": True,
            **fields,
        }
    )


def test_stream_is_the_unary_answer_in_parts(either: grpc.Channel) -> None:
    """Deltas add up to the unary text."""
    whole = inference(either).Generate(prompt())
    parts = list(inference(either).GenerateStream(prompt()))
    assert "".join(part.text for part in parts) == whole.text
    assert (parts[0].model, parts[0].seed) == ("tiny", 7)
    assert parts[-1].usage.completion_tokens == 12


def test_chat_stream_is_the_unary_answer_in_parts(either: grpc.Channel) -> None:
    """Deltas add up to the unary message."""
    message = inference_pb2.ChatMessage(role="user", content="hello")
    request = inference_pb2.ChatRequest(model="tiny", messages=[message], max_tokens=12, temperature=0, ignore_eos=True)
    whole = inference(either).Chat(request)
    parts = list(inference(either).ChatStream(request))
    assert "".join(part.delta.content for part in parts) == whole.message.content


def test_overlong_prompt_has_its_numbers_in_the_details(either: grpc.Channel) -> None:
    """An error before the first part is a status, also for a stream."""
    with pytest.raises(grpc.RpcError) as caught:
        list(inference(either).GenerateStream(prompt(prompt="x" * 3000)))
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "3000" in error.details()


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("", Health.SERVING),
        (SERVICE, Health.SERVING),
        ("live", Health.SERVING),
        (f"{SERVICE}/tiny", Health.SERVING),
        (f"{SERVICE}/nan.gguf", Health.NOT_SERVING),
    ],
)
def test_health_check(either: grpc.Channel, name: str, status: int) -> None:
    """The process, its liveness and each model have a health of their own."""
    if name.endswith("nan.gguf"):
        models(either).UnloadModel(models_pb2.UnloadModelRequest(model="nan.gguf"))
    assert health_pb2_grpc.HealthStub(either).Check(health_pb2.HealthCheckRequest(service=name)).status == status


def test_health_of_an_unknown_name(either: grpc.Channel) -> None:
    """Check says NOT_FOUND, Watch SERVICE_UNKNOWN, as the protocol wants."""
    health, request = health_pb2_grpc.HealthStub(either), health_pb2.HealthCheckRequest(service="nobody")
    with pytest.raises(grpc.RpcError) as caught:
        health.Check(request)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND  # type: ignore[attr-defined]
    watch = health.Watch(request)
    assert next(watch).status == Health.SERVICE_UNKNOWN
    watch.cancel()


def test_health_watch_follows_a_model(either: grpc.Channel) -> None:
    """A watcher sees a model come and go."""
    models(either).UnloadModel(models_pb2.UnloadModelRequest(model="plain.gguf"))
    watch = health_pb2_grpc.HealthStub(either).Watch(health_pb2.HealthCheckRequest(service=f"{SERVICE}/plain.gguf"))
    seen = [next(watch).status]
    models(either).LoadModel(models_pb2.LoadModelRequest(model="plain.gguf"))
    seen.append(next(watch).status)
    models(either).UnloadModel(models_pb2.UnloadModelRequest(model="plain.gguf"))
    seen.append(next(watch).status)
    watch.cancel()
    assert seen == [Health.NOT_SERVING, Health.SERVING, Health.NOT_SERVING]


def test_unknown_method_is_unimplemented(either: grpc.Channel) -> None:
    """A method outside the contract says so."""
    with pytest.raises(grpc.RpcError) as caught:
        either.unary_unary("/llm_inference.v1.InferenceService/Sing")(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED  # type: ignore[attr-defined]


def test_pages_and_metrics_answer_over_grpc(either: grpc.Channel) -> None:
    """Their package is another than the contract's, and Envoy routes it alike."""
    page = pages_pb2_grpc.PageServiceStub(either).GetPage(pages_pb2.GetPageRequest())
    assert page.http_body.content_type == "text/html; charset=utf-8"
    document = pages_pb2_grpc.DocumentServiceStub(either).GetDocument(pages_pb2.GetDocumentRequest())
    assert document.http_body.content_type == "application/json"
    assert json.loads(document.http_body.data)["openapi"]
    metrics = operations_pb2_grpc.OperationsServiceStub(either).GetMetrics(operations_pb2.GetMetricsRequest())
    assert b"llm_inference_rpcs_total" in metrics.http_body.data


def test_rest_shows_what_grpc_answers(service: RunningService, channel: grpc.Channel) -> None:
    """The same request has the same answer on both wires, but for its id and time."""
    native = as_dict(inference(channel).Generate(prompt()))
    with service.http() as http:
        rest = http.post("/api/generate", json=as_dict(prompt())).json()
    for answer in (native, rest):
        answer.pop("id"), answer.pop("created")
        for name in ("cached_tokens", "reasoning_tokens"):  # REST has counts of 0 too.
            answer["usage"].pop(name, None)  # type: ignore[attr-defined]
    assert native == rest


@pytest.mark.parametrize("target", ["address", "through_envoy"])
def test_reflection_is_enough_for_a_client(service: RunningService, target: str) -> None:
    """A client without our protos finds the methods and calls them."""
    url = f"http://{getattr(service, target)}"
    arguments = [
        str(Path(sys.executable).with_name("buf")),
        "curl",
        "--protocol",
        "grpc",
        "--http2-prior-knowledge",
        url,
    ]
    listed = subprocess.run([*arguments, "--list-methods"], capture_output=True, text=True, check=True, timeout=60)
    assert f"{SERVICE}/ChatStream" in listed.stdout
    arguments[-1] += f"/{SERVICE}/Generate"
    data = json.dumps(as_dict(prompt()))
    called = subprocess.run([*arguments, "-d", data], capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(called.stdout)["usage"]["completionTokens"] == 12
