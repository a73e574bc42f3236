"""Programs with the stubs of the last release at this service, and this client at services of other versions."""

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import Message
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_tools import protoc

from llm_inference.v1 import generation_pb2, inference_pb2, models_pb2
from llm_inference_client import ServiceError, connect
from tests.e2e.service import RunningService, clean_environment
from tools.generate import PROJECT, descriptors

(RELEASED,) = (PROJECT / "proto/released").glob("*.binpb")
PEER = PROJECT / "tests/e2e/older_peer.py"
NEW_FIELD = b"\xc2\xb8\x02\x03new"
"""Field 5000, which no version has, with the text `new`."""
NEW_VALUE = 4999
"""Of an enum; no version has it."""


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the stubs of the last release."""
    directory = tmp_path_factory.mktemp("released")
    names = (file.name for file in FileDescriptorSet.FromString(RELEASED.read_bytes()).file)
    files = [name for name in names if name.startswith("llm_inference/")]
    places = [f"--python_out={directory}", f"--grpc_python_out={directory}"]
    assert protoc.main(["protoc", f"--descriptor_set_in={RELEASED}", *places, *files]) == 0
    return directory


def ask(stubs: Path, address: str, model: str) -> dict[str, Any]:
    """Returns what a program with these stubs gets of the service."""
    command = [sys.executable, str(PEER), "ask", address, model]
    environment = clean_environment() | {"PYTHONPATH": str(stubs)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    answers: dict[str, Any] = json.loads(done.stdout)
    assert str(stubs / "llm_inference/v1") == answers["stubs"][0]
    return answers


def test_older_client_gets_what_it_knows(service: RunningService, stubs: Path) -> None:
    """From this service: the texts, reasons and counts that a client of today gets."""
    answers = ask(stubs, service.address, "tiny")
    sampling: dict[str, Any] = {"model": "tiny", "temperature": 0, "max_tokens": 8, "ignore_eos": True}
    message = inference_pb2.ChatMessage(role="user", content="Who wrote Hamlet?")
    with connect(service.address) as client:
        generated = client.inference.Generate(inference_pb2.GenerateRequest(prompt="Once upon a time", **sampling))
        chatted = client.inference.Chat(inference_pb2.ChatRequest(messages=[message], **sampling))
        listed = client.models.ListModels(models_pb2.ListModelsRequest()).models
    length = generation_pb2.Finish.LENGTH
    assert answers["generated"] == [generated.text, length, 8]
    assert answers["chatted"] == [chatted.message.content, length, 8]
    assert answers["streamed"] == [chatted.message.content, length]
    assert answers["listed"].keys() == {model.id for model in listed}
    assert answers["serves"] == health_pb2.HealthCheckResponse.SERVING


def newer(message: Message) -> bytes:
    """Returns the message as a newer service sends it: with one more field, in its own messages too."""
    for field, value in message.ListFields():
        if field.message_type is not None and not field.is_repeated:
            value.MergeFromString(NEW_FIELD)
    return message.SerializeToString() + NEW_FIELD


@contextmanager
def newer_service() -> Iterator[str]:
    """Yields the address of a service of a later version."""
    usage = {"prompt_tokens": 1, "completion_tokens": 8}
    whole: dict[str, Message] = {
        "InferenceService/Generate": inference_pb2.GenerateResponse(text="abc", finish_reason=NEW_VALUE, usage=usage),
        "InferenceService/Chat": inference_pb2.ChatResponse(
            message={"role": "assistant", "content": "abc"}, finish_reason=NEW_VALUE, usage=usage
        ),
        "ModelService/ListModels": models_pb2.ListModelsResponse(models=[{"id": "m", "state": NEW_VALUE}]),
    }
    streamed = [
        newer(inference_pb2.ChatStreamResponse()),  # An event of a kind that is new.
        newer(inference_pb2.ChatStreamResponse(delta={"content": "abc"})),
        newer(inference_pb2.ChatStreamResponse(finish_reason=NEW_VALUE, usage=usage)),
    ]
    methods = {
        f"/llm_inference.v1.{name}": grpc.unary_unary_rpc_method_handler(lambda _, __, answer=answer: newer(answer))
        for name, answer in whole.items()
    }
    methods["/llm_inference.v1.InferenceService/ChatStream"] = grpc.unary_stream_rpc_method_handler(
        lambda _, __: iter(streamed)
    )

    class Handler(grpc.GenericRpcHandler):
        def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler | None:
            return methods.get(handler_call_details.method)

    server = grpc.server(ThreadPoolExecutor(4), handlers=[Handler()])
    health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()


def test_older_client_passes_over_what_is_newer(stubs: Path) -> None:
    """Fields, values of enums, and events of a stream that its version does not have."""
    with newer_service() as address:
        answers = ask(stubs, address, "m")
    assert answers["generated"] == ["abc", NEW_VALUE, 8]
    assert answers["chatted"] == ["abc", NEW_VALUE, 8]
    assert answers["streamed"] == ["abc", NEW_VALUE]
    assert answers["listed"] == {"m": NEW_VALUE}


@pytest.fixture(scope="module")
def older_service(stubs: Path) -> Iterator[str]:
    """The address of a service of the last release."""
    environment = clean_environment() | {"PYTHONPATH": str(stubs)}
    command = [sys.executable, str(PEER), "serve"]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as peer:
        assert peer.stdout is not None
        yield f"127.0.0.1:{peer.stdout.readline().strip()}"


def methods(descriptor_set: bytes) -> set[str]:
    """Returns the methods of a contract."""
    return {
        f"{file.package}.{service.name}/{method.name}"
        for file in FileDescriptorSet.FromString(descriptor_set).file
        for service in file.service
        for method in service.method
    }


def test_newer_fields_of_a_request_are_passed_over_by_an_older_service(older_service: str) -> None:
    """Which has no health either."""
    request = inference_pb2.GenerateRequest.FromString(
        inference_pb2.GenerateRequest(prompt="abc").SerializeToString() + NEW_FIELD
    )
    with connect(older_service) as client:
        assert client.inference.Generate(request).text == "abc"


@pytest.mark.parametrize("method", sorted(methods(descriptors()) - methods(RELEASED.read_bytes())))
def test_method_that_is_newer_than_the_service_is_named(older_service: str, method: str) -> None:
    """In an error that programs can tell from others."""
    with connect(older_service) as client, pytest.raises(ServiceError) as caught:
        client.channel.unary_unary(f"/{method}")(b"")
    assert caught.value.reason == "METHOD_NOT_FOUND"
    assert f"has no method {method}; it is an older service" in caught.value.message
