"""One request through every door: the same text and usage from each; a bad one: the same code and message."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import grpc
import pytest
from google.protobuf import json_format

from llm_inference.v1 import inference_pb2
from tests.e2e.grpc_web import CONTENT_TYPE, frame, frames
from tests.e2e.service import RunningService, inference
from tests.e2e.sse import stream, text_of

METHOD = "/llm_inference.v1.InferenceService/Generate"
ASKED = {"model": "tiny", "prompt": "once", "max_tokens": 12, "seed": 7, "temperature": 0, "ignore_eos": True}
CODES = {code.value[0]: code.name for code in grpc.StatusCode}

Fields = dict[str, Any]
End = tuple[str, Any]
"""A text and its usage, or the name of a code and a message."""
Door = Callable[[RunningService, Fields], End]


def as_json(message: Any) -> Any:
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def of_answer(found: Any) -> End:
    return found["text"], {name: value for name, value in found["usage"].items() if name != "cached_tokens" and value}


def of_parts(parts: list[Any]) -> End:
    return of_answer({"text": text_of(parts), "usage": parts[-1]["usage"]})


def stubs(address: str, fields: Fields) -> End:
    with grpc.insecure_channel(address) as channel:
        try:
            return of_answer(as_json(inference(channel).Generate(inference_pb2.GenerateRequest(**fields))))
        except grpc.RpcError as error:
            return error.code().name, error.details()  # type: ignore[attr-defined]


def streamed(service: RunningService, fields: Fields) -> End:
    with grpc.insecure_channel(service.through_envoy) as channel:
        try:
            parts = list(inference(channel).GenerateStream(inference_pb2.GenerateRequest(**fields)))
        except grpc.RpcError as error:
            return error.code().name, error.details()  # type: ignore[attr-defined]
    return of_parts([as_json(part) for part in parts])


def reflected(service: RunningService, fields: Fields) -> End:
    """Buf's curl, which learns the messages from the service."""
    command = [str(Path(sys.executable).with_name("buf")), "curl", "--protocol", "grpc", "--http2-prior-knowledge"]
    command += ["-d", json.dumps(fields), f"http://{service.through_envoy}{METHOD}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode == 0:
        return of_answer(as_json(json_format.Parse(done.stdout, inference_pb2.GenerateResponse())))
    error = json.loads(done.stderr)
    return error["code"].upper(), error["message"]


def rest(service: RunningService, fields: Fields) -> End:
    with service.http() as http:
        found = http.post("/api/generate", json=fields).json()
    return of_answer(found) if "text" in found else (CODES[found["code"]], found["message"])


def events(service: RunningService, fields: Fields) -> End:
    with service.http() as http, stream(http, "/api/generate/stream", fields) as (response, found):
        if response.is_success:
            return of_parts([event for event in found if "progress" not in event])
        error = json.loads(response.read())
    return CODES[error["code"]], error["message"]


def grpc_web(service: RunningService, fields: Fields) -> End:
    body, headers = frame(inference_pb2.GenerateRequest(**fields)), {"content-type": CONTENT_TYPE, "x-grpc-web": "1"}
    with service.http() as http:
        answer = http.post(METHOD, content=body, headers=headers)
    if messages := frames(answer.content)[0]:
        return of_answer(as_json(inference_pb2.GenerateResponse.FromString(*messages)))
    return CODES[int(answer.headers["grpc-status"])], unquote(answer.headers["grpc-message"])


def connect(service: RunningService, fields: Fields) -> End:
    with service.http() as http:
        found = http.post(METHOD, json=fields, headers={"connect-protocol-version": "1"}).json()
    if "code" in found:
        return found["code"].upper(), found["message"]
    return of_answer(as_json(json_format.ParseDict(found, inference_pb2.GenerateResponse())))


DOORS: dict[str, Door] = {
    "gRPC": lambda service, fields: stubs(service.address, fields),
    "gRPC through Envoy": lambda service, fields: stubs(service.through_envoy, fields),
    **{door.__name__: door for door in (streamed, reflected, rest, events, grpc_web, connect)},
}


@pytest.mark.parametrize("name", DOORS)
def test_every_door_has_the_same_answer(service: RunningService, name: str) -> None:
    expected = DOORS["gRPC"](service, ASKED)
    assert expected[1]["completion_tokens"] == 12
    assert DOORS[name](service, ASKED) == expected


@pytest.mark.parametrize("name", DOORS)
@pytest.mark.parametrize(
    ("change", "code"), [({"temperature": 9}, "INVALID_ARGUMENT"), ({"model": "none"}, "NOT_FOUND")]
)
def test_every_door_refuses_alike(service: RunningService, name: str, change: Fields, code: str) -> None:
    expected = DOORS["gRPC"](service, ASKED | change)
    assert expected[0] == code
    assert DOORS[name](service, ASKED | change) == expected
