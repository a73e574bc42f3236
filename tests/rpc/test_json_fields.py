"""What is said of a JSON field that Envoy did not know."""

from types import SimpleNamespace
from typing import Any

import pytest

from llm_inference.v1 import inference_pb2
from llm_inference_api import headers
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.rpc.json_fields import known

CHAT = inference_pb2.ChatRequest()


def call(*metadata: tuple[str, str]) -> Any:
    """Returns a call with this metadata."""
    return SimpleNamespace(invocation_metadata=lambda: metadata)


def test_request_without_a_report_passes() -> None:
    """As all of gRPC's do."""
    assert known(CHAT, call(("x-other", "a"))) is CHAT


@pytest.mark.parametrize(
    ("place", "field", "problem"),
    [
        ("max_tokns", "max_tokns", "did you mean max_tokens?"),
        ("messages[12].tool_calls[0].nam", "messages[12].tool_calls[0].nam", "did you mean name?"),
        ("messages[0].zzz", "messages[0].zzz", "leave it out"),
        ("prompt.zzz.q", "prompt.zzz.q", "leave it out"),
        ("%C3%A9%2E%5B", "é.[", "leave it out"),
        ("messages[0].format", "messages[0].format", "leave it out"),
        ("!", "body", "no valid JSON"),
        ("+", "body", "has more than 131072 values"),
        ("?a%20b", "a b", "not a query parameter"),
        ("&order", "order", "given twice"),
        ("?", "query", "not a query parameter"),
    ],
)
def test_report_becomes_a_refusal(place: str, field: str, problem: str) -> None:
    """It names the field's place, and the nearest name where there is one."""
    with pytest.raises(InvalidFieldError) as caught:
        known(CHAT, call((headers.UNKNOWN_FIELD, place)))
    assert caught.value.field == field
    assert problem in caught.value.problem
