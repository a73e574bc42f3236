"""What cannot be honoured is refused before any work, by name, on both wires."""

import json
from typing import Any

import grpc
import httpx
import pytest
from google.rpc import error_details_pb2, status_pb2

from llm_inference.v1 import inference_pb2
from tests.e2e.service import RunningService, inference

PROMPT: dict[str, Any] = {"model": "tiny", "prompt": "hello", "max_tokens": 2}
CHAT: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 2}

OUT_OF_RANGE = [
    ("max_tokens", 0),
    ("temperature", -0.001),
    ("temperature", 2.001),
    ("top_p", -0.001),
    ("top_p", 1.001),
    ("top_k", 2**31),
    ("min_p", -0.001),
    ("min_p", 1.001),
    ("typical_p", -0.001),
    ("typical_p", 1.001),
    ("presence_penalty", -2.001),
    ("presence_penalty", 2.001),
    ("frequency_penalty", -2.001),
    ("frequency_penalty", 2.001),
    ("repetition_penalty", 0),
    ("repetition_penalty", 2.001),
    ("top_logprobs", 21),
    ("n", 0),
    ("n", 41),
]
NO_NUMBERS = [
    (field, value)
    for field in (
        "temperature",
        "top_p",
        "min_p",
        "typical_p",
        "presence_penalty",
        "frequency_penalty",
        "repetition_penalty",
    )
    for value in ("NaN", "Infinity", "-Infinity")
]


def refused(answer: httpx.Response, status: int, code: int) -> dict[str, Any]:
    """Returns the error, which must have this HTTP status and this google.rpc.Code."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    error: dict[str, Any] = answer.json()
    assert error["code"] == code
    return error


def field_of(error: dict[str, Any]) -> str:
    """Returns the field that the error's BadRequest names, behind an ErrorInfo."""
    info, request = error["details"]
    assert info["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
    assert (info["reason"], info["domain"]) == ("INVALID_FIELD", "llm-inference-api")
    assert request["@type"] == "type.googleapis.com/google.rpc.BadRequest"
    return str(request["field_violations"][0]["field"])


@pytest.mark.parametrize("path", ["/api/generate", "/api/generate/stream", "/api/chat", "/api/chat/stream"])
@pytest.mark.parametrize(("field", "value"), OUT_OF_RANGE + NO_NUMBERS)
def test_number_out_of_range_is_refused_by_name(http: httpx.Client, path: str, field: str, value: object) -> None:
    """A value that cannot be honoured is a 400 that names its field, also before a stream begins."""
    body = {**(CHAT if "chat" in path else PROMPT), field: value}
    error = refused(http.post(path, json=body), 400, 3)
    assert field_of(error) == field
    assert field in error["message"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({**PROMPT, "prompt": ""}, "prompt"),
        ({"model": "tiny"}, "prompt"),
        ({**PROMPT, "prompt": "x" * (2**20 + 1)}, "prompt"),
        ({**PROMPT, "stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({**PROMPT, "stop": ["a", ""]}, "stop[1]"),
        ({**PROMPT, "stop": ["x" * 65]}, "stop[0]"),
        ({**PROMPT, "logit_bias": {"5": 101}}, "logit_bias[5]"),
        ({**PROMPT, "logit_bias": {"5": "NaN"}}, "logit_bias[5]"),
        ({**PROMPT, "logit_bias": {"261": 1}}, "logit_bias"),
        ({**PROMPT, "logit_bias": {str(token): 1 for token in range(301)}}, "logit_bias"),
        ({**PROMPT, "top_logprobs": 3}, "top_logprobs"),
    ],
)
def test_prompt_request_is_refused_by_name(http: httpx.Client, body: dict[str, Any], field: str) -> None:
    """Missing, too long, too many or unsupported values are 400s that name their field."""
    assert field_of(refused(http.post("/api/generate", json=body), 400, 3)) == field


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        ([], "messages"),
        ([{"role": "user", "content": "x"}] * 1025, "messages"),
        ([{"role": "wizard", "content": "x"}], "messages[0].role"),
        ([{"content": "x"}], "messages[0].role"),
        ([{"role": "User", "content": "x"}], "messages[0].role"),
    ],
)
def test_chat_request_is_refused_by_name(http: httpx.Client, messages: list[dict[str, str]], field: str) -> None:
    """Missing messages and unknown roles are 400s that name their field."""
    answer = http.post("/api/chat", json={**CHAT, "messages": messages})
    assert field_of(refused(answer, 400, 3)) == field


@pytest.mark.parametrize(
    "model",
    ["none", "TINY", "tiny ", "../tiny.gguf", "/etc/passwd", "tiny\u0000", "t\u0456ny", "%2e%2e/tiny", "x" * 10_000],
)
def test_unknown_model_is_not_found(http: httpx.Client, model: str) -> None:
    """An id is matched exactly; whatever else it says, it is just unknown."""
    error = refused(http.post("/api/generate", json={**PROMPT, "model": model}), 404, 5)
    assert "is not served here" in error["message"]
    assert len(error["message"]) < 500


@pytest.mark.parametrize("name", ["missing", "empty", "truncated", "garbage"])
def test_broken_model_file_fails_that_model_only(http: httpx.Client, name: str) -> None:
    """A file that is no model is a reason in the model's state, and the others go on."""
    error = refused(http.post("/api/generate", json={**PROMPT, "model": f"{name}.gguf"}), 400, 9)
    assert "does not exist" in error["message"] if name == "missing" else "file" in error["message"]
    model = http.get(f"/api/llms/{name}.gguf").json()["model"]
    assert model["state"] == "FAILED"
    assert model["reason"]
    assert "/" not in model["reason"]
    assert http.post("/api/generate", json=PROMPT).status_code == 200


def test_prompt_longer_than_the_context_says_both_numbers(http: httpx.Client) -> None:
    """The caller learns how long the prompt is and what would fit."""
    for path in ("/api/generate", "/api/generate/stream"):
        error = refused(http.post(path, json={**PROMPT, "prompt": "x" * 3000}), 400, 3)
        assert "3000" in error["message"]
        assert "2048" in error["message"]


def test_prompt_of_a_megabyte_is_refused_quickly(http: httpx.Client) -> None:
    """A prompt that cannot fit is not even tokenised."""
    error = refused(http.post("/api/generate", json={**PROMPT, "prompt": "😀" * 250_000}), 400, 3)
    assert "2048" in error["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"",
        b"[]",
        b"null",
        b'{"prompt": "\xff\xfe"}',
        b'{"prompt": 5}',
        b'{"max_tokens": 1.5}',
        b'{"max_tokens": -1}',
        b'{"temperature": NaN}',
        b'{"prompt": "\\ud800"}',
        b"[" * 10_000,
    ],
)
def test_malformed_body_is_a_400(http: httpx.Client, body: bytes) -> None:
    """What is no request of the contract's shape is refused at the edge, as JSON."""
    refused(http.post("/api/generate", content=body, headers={"content-type": "application/json"}), 400, 3)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_wrong_method_is_a_405(http: httpx.Client, method: str) -> None:
    """The answer says which method is right."""
    answer = http.request(method, "/api/chat")
    refused(answer, 405, 12)
    assert "POST" in answer.headers["allow"]


@pytest.mark.parametrize("path", ["/api/none", "/nowhere", "/v2/x", "/admin"])
def test_unknown_path_is_a_404(http: httpx.Client, path: str) -> None:
    """Paths outside the contract lead nowhere, and say so as JSON."""
    refused(http.post(path, json={}), 404, 5)


def test_body_too_large_is_a_413(http: httpx.Client) -> None:
    """Bodies have a limit at the edge."""
    refused(http.post("/api/generate", content=b'{"prompt":"' + b"x" * (5 << 20)), 413, 3)


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/api/chat", b'{"messages": [%b{}]}' % (b"{}," * 500_000), "body"),
        ("/api/chat", b'{"messages": [%b{}]}' % (b"{}," * 130_000), "messages"),
        ("/api/chat", b'{"tools": [%b{}]}' % (b"{}," * 130_000), "tools"),
        ("/api/generate", b'{"prompt": "x", "stop": [%b""]}' % (b'"",' * 130_000), "stop"),
        ("/api/generate", b'{"prompt": "x", "choice": {"texts": [%b""]}}' % (b'"",' * 130_000), "choice.texts"),
        ("/api/embed", b'{"texts": [%b""]}' % (b'"",' * 130_000), "texts"),
        ("/v1/chat/completions", b'{"messages": [%b1]}' % (b"1," * 1_000_000), "body"),
        ("/v1/chat/completions", b'{"messages": [%b1]}' % (b"1," * 100_000), "messages"),
        ("/v1/completions", b'{"prompt": [%b1]}' % (b"1," * 1_000_000), "body"),
        ("/v1/embeddings", b'{"input": [%b""]}' % (b'"",' * 1_000_000), "body"),
    ],
)
def test_body_of_many_items_costs_little(
    http: httpx.Client, service: RunningService, path: str, body: bytes, field: str
) -> None:
    """It is refused before its items are read: to read all of one takes up to 20 s and gigabytes."""
    before, started = service.resident_bytes(), service.processor_time()
    answer = http.post(path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400, answer.text
    error = answer.json()
    assert (error["error"]["param"] if "/v1/" in path else field_of(error)) == field
    assert service.processor_time() - started < 1.5
    assert service.resident_bytes() - before < 100 << 20


def test_unknown_query_parameter_is_refused(http: httpx.Client) -> None:
    """A parameter in the wrong place is not ignored."""
    refused(http.post("/api/generate?temprature=1", json=PROMPT), 400, 3)


def test_grpc_error_carries_the_field(channel: grpc.Channel) -> None:
    """Native callers get the same details in the status."""
    request = inference_pb2.GenerateRequest(model="tiny", prompt="x", temperature=float("nan"))
    with pytest.raises(grpc.RpcError) as caught:
        inference(channel).Generate(request)
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    packed = dict(error.trailing_metadata())["grpc-status-details-bin"]
    violation = error_details_pb2.BadRequest()
    assert status_pb2.Status.FromString(packed).details[1].Unpack(violation)
    assert violation.field_violations[0].field == "temperature"


def test_grpc_message_that_cannot_be_decoded_is_invalid(channel: grpc.Channel) -> None:
    """Bad UTF-8 and broken messages are the caller's error, and no text of a library leaks."""
    for data in (b"\x0a\x02\xff\xfe", b"\x0a\xff"):
        call = channel.unary_unary("/llm_inference.v1.InferenceService/Generate")
        with pytest.raises(grpc.RpcError) as caught:
            call(data)
        error: Any = caught.value
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "google" not in error.details()


def test_model_of_no_numbers_answers_with_an_error(http: httpx.Client) -> None:
    """Weights that are no numbers are an internal error, not a text."""
    assert refused(http.post("/api/generate", json={**PROMPT, "model": "nan.gguf"}), 500, 13)


def test_edges_of_the_ranges_are_accepted(http: httpx.Client) -> None:
    """The largest and smallest values of every field work together."""
    low = {"temperature": 0, "top_p": 0, "min_p": 0, "typical_p": 0, "seed": 0, "top_k": 0, "n": 1}
    low |= {"presence_penalty": -2, "frequency_penalty": -2, "repetition_penalty": 1e-9, "max_tokens": 1}
    high = {"temperature": 2, "top_p": 1, "min_p": 1, "typical_p": 1, "seed": 2**32 - 2, "top_k": 2**31 - 1}
    high |= {"presence_penalty": 2, "frequency_penalty": 2, "repetition_penalty": 2, "max_tokens": 2000}
    high |= {"logprobs": True, "top_logprobs": 20, "stop": ["x" * 64] * 4, "logit_bias": {"5": -100, "6": 100}}
    low |= {"top_n_sigma": -1, "min_keep": 0, "xtc_probability": 0, "xtc_threshold": 0, "dry_penalty_last_n": -1}
    low |= {"dry_multiplier": 100, "dry_base": 10, "dry_allowed_length": 0, "dry_sequence_breakers": ["x" * 40] * 8}
    high |= {"top_n_sigma": 100, "min_keep": 2**31 - 1, "xtc_probability": 1, "xtc_threshold": 1, "dynatemp_range": 2}
    high |= {"dynatemp_exponent": 10, "dry_multiplier": 1, "dry_allowed_length": 2**31 - 1}
    high |= {"dry_penalty_last_n": 2**31 - 1}
    surprise = {"mirostat": 1, "mirostat_tau": 100, "mirostat_eta": 1, "temperature": 2, "max_tokens": 20}
    mass = {"temperature": 1, "top_p": 0, "typical_p": 0}
    surprises = (surprise, {**surprise, "mirostat_tau": 0}, {**surprise, "mirostat": 2}, {**surprise, "regex": "a+"})
    for extra in (
        *surprises,
        low,
        high,
        mass,
        {"temperature": 1, "min_p": 1},
        {"temperature": 5e-324},
        {"presence_penalty": -0.0},
    ):
        answer = http.post("/api/generate", content=json.dumps({**PROMPT, **extra}))
        assert answer.status_code == 200, answer.text
