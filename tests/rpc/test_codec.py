"""Messages and errors of the Connect protocol's callers."""

import json

import pytest
from google.protobuf.any_pb2 import Any as Packed
from google.rpc import error_details_pb2, status_pb2

from llm_inference.v1 import inference_pb2
from llm_inference_api import headers
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.rpc.codec import for_connect, from_json, is_json, to_json

decode = from_json(inference_pb2.GenerateRequest)


@pytest.mark.parametrize("text", ['{"prompt": "a", "maxTokens": 3}', '{"prompt": "a", "max_tokens": 3}'])
def test_both_names_of_a_field_are_read(text: str) -> None:
    assert decode(text.encode()) == inference_pb2.GenerateRequest(prompt="a", max_tokens=3)


def test_empty_body_is_an_empty_message() -> None:
    assert decode(b"") == inference_pb2.GenerateRequest()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"prompt": "a", "max_tokns": 3}', "max_tokns"),
        (b'{"prompt": 5}', "prompt"),
        (b"[]", "not a valid message"),
        (b"{", "not a valid message"),
        (b"\xff", "not a valid message"),
        (b'{"stop": [' + b"1," * 50_000 + b"1]}", "values"),
        (b'{"stop": ' + b"[" * 100_000, "values"),
        (b'{"stop": ' + b"[" * 5_000, "levels"),
        (b'{"seed": ' + b"9" * 5_000 + b"}", "an integer has more than 4300 digits"),
    ],
)
def test_other_json_is_an_error_of_one_line(data: bytes, reason: str) -> None:
    error = decode(data)
    assert isinstance(error, InvalidFieldError)
    assert reason in str(error)
    assert "\n" not in str(error)


def test_message_is_written_with_json_names() -> None:
    answer = inference_pb2.GenerateResponse(text="a", usage={"prompt_tokens": 2})
    assert json.loads(to_json(answer)) == {"text": "a", "usage": {"promptTokens": 2}}


@pytest.mark.parametrize(("codec", "expected"), [("json", True), ("proto", False), (None, False)])
def test_codec_is_that_of_the_header(codec: str | None, *, expected: bool) -> None:
    assert is_json([(headers.MESSAGE_CODEC, codec)] if codec else []) is expected


def test_details_of_an_error_have_names_of_types_for_connect_alone() -> None:
    packed = Packed()
    packed.Pack(error_details_pb2.ErrorInfo(reason="OVERLOADED"))
    status = status_pb2.Status(code=8, message="full", details=[packed])
    trailing = ((headers.GRPC_STATUS_DETAILS, status.SerializeToString()), ("retry-after", "3"))
    assert for_connect([], trailing) == trailing
    (_, data), other = for_connect([(headers.MESSAGE_CODEC, "proto")], trailing)
    assert isinstance(data, bytes)
    (detail,) = status_pb2.Status.FromString(data).details
    assert (detail.type_url, detail.value) == ("google.rpc.ErrorInfo", packed.value)
    assert other == ("retry-after", "3")
