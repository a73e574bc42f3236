"""What a message may have of parts, before it is parsed."""

import time

import pytest

from llm_inference.v1 import inference_pb2, tokens_pb2
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.rpc.message_size import MAX_PARTS, check_parts

CHAT = inference_pb2.ChatRequest
MANY = MAX_PARTS + 1
CALL = {"id": "a", "name": "f", "arguments": "{}"}
EMPTY_MESSAGE, EMPTY_STOP, UNKNOWN = b"\x0a\x00", b"\x52\x00", b"\xf8\x07\x01"


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (EMPTY_MESSAGE * MANY, "messages"),
        (EMPTY_STOP * MANY, "stop"),
        (CHAT(tools=[{}] * MANY).SerializeToString(), "tools"),
        (CHAT(logit_bias=dict.fromkeys(range(MANY), 1.0)).SerializeToString(), "logit_bias"),
        (CHAT(choice={"texts": ["xx"] * MANY}).SerializeToString(), "choice.texts"),
        (CHAT(messages=[{}, {"tool_calls": [{}] * MANY}]).SerializeToString(), "messages[1].tool_calls"),
        (UNKNOWN * MANY, "request"),
        (b"\xfb\x07\xfc\x07" * MANY, "request"),
    ],
)
def test_message_of_too_many_parts_is_refused_by_field(data: bytes, field: str) -> None:
    """The field with most of them is named, wherever it is; fields that the type does not have count too."""
    with pytest.raises(InvalidFieldError, match="has too many items") as found:
        check_parts(CHAT, data)
    assert found.value.field == field


@pytest.mark.parametrize("size", [1_000, 4_000_000])
def test_message_is_walked_no_further_than_the_limit(size: int) -> None:
    """What a message costs does not grow with its size; to parse this one takes a second."""
    started = time.process_time()
    with pytest.raises(InvalidFieldError):
        check_parts(CHAT, EMPTY_MESSAGE * (MANY + size))
    assert time.process_time() - started < 0.1


def test_largest_usual_request_passes() -> None:
    """As many messages, calls, tools and biases as are allowed fit in one request."""
    messages = [
        *[{"role": "user", "content": "x" * 500}] * 512,
        *[{"role": "assistant", "tool_calls": [CALL] * 4}] * 256,
        *[{"role": "tool", "content": "x", "tool_call_id": "a"}] * 256,
    ]
    tools = [{"name": f"f{index}", "description": "x" * 1000, "parameters": "{}"} for index in range(128)]
    check_parts(
        CHAT, CHAT(messages=messages, tools=tools, logit_bias=dict.fromkeys(range(300), 1.0)).SerializeToString()
    )


@pytest.mark.parametrize("data", [b"\x0a\xff\xff\xff\x7f", b"\x0a\x05a", b"\xff" * 20, b"\x08", b"\x09", b"\x0f"])
def test_malformed_message_is_left_to_the_parser(data: bytes) -> None:
    """It stops where the walk does, and names the fault."""
    check_parts(CHAT, CHAT(model="x" * 2 * MAX_PARTS).SerializeToString() + data)


@pytest.mark.parametrize("token", [1, 300, 2**31 - 1])
def test_list_of_numbers_may_be_long(token: int) -> None:
    """Token ids are many, packed as clients send them, or one by one as Envoy does."""
    packed = tokens_pb2.DetokenizeRequest(token_ids=[token] * 100_000).SerializeToString()
    number = tokens_pb2.DetokenizeRequest.DESCRIPTOR.fields_by_name["token_ids"].number
    item = bytes([number << 3]) + packed[-_size(token) :]
    assert tokens_pb2.DetokenizeRequest.FromString(item * 3).token_ids == [token] * 3
    for data in (packed, item * 100_000):
        check_parts(tokens_pb2.DetokenizeRequest, data)
        with pytest.raises(InvalidFieldError, match="token_ids: has too many items"):
            check_parts(tokens_pb2.DetokenizeRequest, data * 10)


def _size(token: int) -> int:
    """Returns the bytes of a number on the wire: 7 bits in each."""
    return max(1, -(-token.bit_length() // 7))
