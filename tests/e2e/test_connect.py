"""The Connect protocol through Envoy (https://connectrpc.com/docs/protocol)."""

import base64
import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.rpc import error_details_pb2

from llm_inference.v1 import inference_pb2
from tests.e2e.service import RunningService, run_service

SERVICE = "/llm_inference.v1.InferenceService"
VERSION = {"connect-protocol-version": "1"}
ASK = {"prompt": "hello", "maxTokens": 3, "seed": 1, "model": "steady.gguf"}
LAST = 2
"""Flag of the envelope that ends a stream."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, model_directory: Path) -> Iterator[RunningService]:
    """A service with one model."""
    with run_service(
        tmp_path_factory.mktemp("connect"), model_directory, LLM_ALLOWED_MODELS="steady.gguf", CORS_ALLOWED_ORIGINS="*"
    ) as running:
        yield running


def post(service: RunningService, method: str, kind: str, data: bytes, **headers: str) -> httpx.Response:
    sent = {**VERSION, "content-type": f"application/{kind}", **headers}
    return httpx.post(f"{service.url}{SERVICE}/{method}", content=data, headers=sent, timeout=60)


def envelope(data: bytes) -> bytes:
    return b"\0" + struct.pack(">I", len(data)) + data


def envelopes(data: bytes) -> list[tuple[int, bytes]]:
    found = []
    while data:
        flags, size = struct.unpack(">BI", data[:5])
        found.append((flags, data[5 : 5 + size]))
        data = data[5 + size :]
    return found


def test_whole_answer_is_the_same_in_json_and_protobuf(service: RunningService) -> None:
    as_json = post(service, "Generate", "json", json.dumps(ASK).encode())
    request = inference_pb2.GenerateRequest(prompt="hello", max_tokens=3, seed=1, model="steady.gguf")
    as_proto = post(service, "Generate", "proto", request.SerializeToString())
    assert [answer.status_code for answer in (as_json, as_proto)] == [200, 200]
    assert as_json.headers["content-type"] == "application/json"
    assert as_proto.headers["content-type"] == "application/proto"
    assert inference_pb2.GenerateResponse.FromString(as_proto.content).text == as_json.json()["text"] != ""


@pytest.mark.parametrize("codec", ["json", "proto"])
def test_stream_ends_with_its_own_message(service: RunningService, codec: str) -> None:
    request = inference_pb2.GenerateRequest(prompt="hello", max_tokens=3, seed=1, model="steady.gguf")
    data = json.dumps(ASK).encode() if codec == "json" else request.SerializeToString()
    answer = post(service, "GenerateStream", f"connect+{codec}", envelope(data))
    assert (answer.status_code, answer.headers["content-type"]) == (200, f"application/connect+{codec}")
    *parts, last = envelopes(answer.content)
    assert last == (LAST, b"{}")
    assert len(parts) >= 2
    assert {flags for flags, _ in parts} == {0}


@pytest.mark.parametrize(
    ("change", "status", "code", "said"),
    [
        ({"model": "none"}, 404, "not_found", "GET /api/llms"),
        ({"temperature": 9}, 400, "invalid_argument", "temperature"),
        ({"max_tokns": 3}, 400, "invalid_argument", "max_tokns"),
    ],
)
def test_error_has_code_message_and_details(
    service: RunningService, change: dict[str, Any], status: int, code: str, said: str
) -> None:
    data = json.dumps({**ASK, **change}).encode()
    whole = post(service, "Generate", "json", data)
    assert (whole.status_code, whole.headers["content-type"]) == (status, "application/json")
    (flags, end), *rest = reversed(envelopes(post(service, "GenerateStream", "connect+json", envelope(data)).content))
    assert (flags, rest) == (LAST, [])
    for error in (whole.json(), json.loads(end)["error"]):
        assert error["code"] == code
        assert said in error["message"]
        packed = {detail["type"]: detail["value"] for detail in error["details"]}
        value = packed["google.rpc.ErrorInfo"]
        info = error_details_pb2.ErrorInfo.FromString(base64.b64decode(value + "=" * (-len(value) % 4)))
        assert info.domain == "llm-inference-api"


def test_deadline_is_connects_own(service: RunningService) -> None:
    data = json.dumps({**ASK, "maxTokens": 1500, "ignoreEos": True}).encode()
    answer = post(service, "Generate", "json", data, **{"connect-timeout-ms": "20"})
    assert answer.json()["code"] == "deadline_exceeded"


def test_pages_may_send_connects_headers(service: RunningService) -> None:
    asked = {"content-type", "connect-protocol-version", "connect-timeout-ms"}
    headers = {
        "origin": "http://page.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": ", ".join(asked),
    }
    answer = httpx.options(f"{service.url}{SERVICE}/Generate", headers=headers)
    allowed = answer.headers["access-control-allow-headers"]
    names = {name.strip() for name in allowed.split(",")}
    assert "*" in names or asked <= names


@pytest.mark.parametrize("method", ["Generate", "GenerateStream"])
def test_buf_curl_needs_no_options(service: RunningService, method: str) -> None:
    """It asks the service for the contract by reflection."""
    buf = Path(sys.executable).with_name("buf")
    command = [buf, "curl", "-d", json.dumps(ASK), f"{service.url}{SERVICE}/{method}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert '"text":' in done.stdout
