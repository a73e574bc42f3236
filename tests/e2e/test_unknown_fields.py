"""JSON fields and query parameters that the contract does not have are refused by name on every path."""

import json
from collections.abc import Iterator

import grpc
import httpx
import pytest

from llm_inference.v1 import tokens_pb2, tokens_pb2_grpc
from llm_inference_api import headers
from tests.e2e.service import RunningService

MESSAGES = [{"role": "user", "content": "Hello"}]


def refused_field(answer: httpx.Response) -> str:
    """Returns the field that a refusal names."""
    assert answer.status_code == 400, answer.text
    info, bad = answer.json()["details"]
    assert info["reason"] == "INVALID_FIELD"
    field: str = bad["field_violations"][0]["field"]
    assert answer.json()["message"].startswith(f"{field}: ")
    return field


@pytest.fixture
def http(demo: RunningService) -> Iterator[httpx.Client]:
    """A REST client of the demo."""
    with demo.http() as client:
        yield client


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/api/chat", {"messages": MESSAGES, "max_tokns": 3}, "max_tokns"),
        ("/api/chat/stream", {"messages": MESSAGES, "max_tokns": 3}, "max_tokns"),
        ("/api/chat/render", {"messages": MESSAGES, "max_tokns": 3}, "max_tokns"),
        ("/api/generate", {"prompt": "Hello", "Prompt": "Hello"}, "Prompt"),
        ("/api/generate/stream", {"prompt": "Hello", "x": None}, "x"),
        ("/api/tokenize", {"text": "Hello", "x": {"text": [1, {"text": "}"}]}}, "x"),
        ("/api/detokenize", {"token_ids": [1, 2], "x": 1}, "x"),
        ("/api/embed", {"texts": ["Hello", 'a "quoted" one\\'], "x": 1}, "x"),
        ("/api/llms/demo:load", {"x": 1}, "x"),
        ("/api/llms/no/such:unload", {"x": 1}, "x"),
        ("/api/chat?", {"messages": [*MESSAGES, {"role": "user", "nme": "A"}]}, "messages[1].nme"),
        ("/api/chat", {"messages": [{"tool_calls": [{"function": {}}]}]}, "messages[0].tool_calls[0].function"),
        ("/api/chat", {"messages": MESSAGES, "é ü.[0]": 1}, "é ü.[0]"),
        ("/api/ch%61t", {"messages": MESSAGES, "x": 1}, "x"),
    ],
)
def test_unknown_field_is_refused_by_its_place(http: httpx.Client, path: str, body: object, field: str) -> None:
    """At the top and inside, on all methods that take a body and on those that take none."""
    assert refused_field(http.post(path, content=json.dumps(body, ensure_ascii=False))) == field


def test_misspelt_field_has_the_nearest_name_in_its_refusal(http: httpx.Client) -> None:
    """Of the message that it stands in."""
    answer = http.post("/api/chat", json={"messages": [{"role": "user", "contnt": "Hello"}]})
    assert answer.json()["message"].endswith("did you mean content?")


@pytest.mark.parametrize("field", ["options", "keep_alive", "format", "think", "raw", "images"])
def test_field_of_ollama_is_answered_with_what_this_is_not(http: httpx.Client, field: str) -> None:
    """Its clients ask at the same paths."""
    answer = http.post("/api/chat", json={"messages": MESSAGES, field: None})
    assert refused_field(answer) == field
    assert "Ollama's API, which this is not" in answer.json()["message"]
    assert "LLM_OLLAMA_PORT" in answer.json()["message"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"text": "a", "add_special": false}',
        b'{"text": "a", "addSpecial": false}',
        b'{"te\\u0078t": "a"}',
        b'{"text": "a \\" b, \\\\", "model": ""}',
        b' {\r\n\t"text" : "\\u007b\\"x\\":" } ',
        b"{}",
        b"",
    ],
)
def test_known_field_is_taken_in_every_form_of_json(http: httpx.Client, body: bytes) -> None:
    """Both names that protobuf gives a field, with escapes and white space."""
    assert http.post("/api/tokenize", content=body).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/api/llms/demo?model=other", "model"),
        ("GET", "/api/llms/no/such?model=demo", "model"),
        ("GET", "/api/llms?a=", "a"),
        ("POST", "/api/llms/demo:load?model=other", "model"),
        ("POST", "/api/tokenize?text=b", "text"),
        ("POST", "/api/tokenize?%74ext", "text"),
        ("POST", "/api/tokenize?&tex+t=", "tex t"),
    ],
)
def test_parameter_that_the_path_does_not_take_is_refused(
    http: httpx.Client, method: str, path: str, name: str
) -> None:
    """Also one whose field stands in the path or the body, which it would override."""
    answer = http.request(method, path, json={"text": "a"} if "tokenize" in path else None)
    assert refused_field(answer) == name
    assert "is not a query parameter" in answer.json()["message"]


def test_parameter_of_an_upload_is_refused(http: httpx.Client) -> None:
    """Its fields stand in the form."""
    answer = http.post("/v1/files?purpose=x", files={"file": b"{}"}, data={"purpose": "batch"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "purpose")


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("limit=1&limit=2", "limit"),
        ("order=asc&order=asc", "order"),
        ("order=desc&%6Frder=", "order"),
        ("&after&limit=1&after", "after"),
    ],
)
def test_parameter_given_twice_is_refused(http: httpx.Client, query: str, name: str) -> None:
    """The transcoder would take the last value."""
    answer = http.get(f"/v1/files?{query}")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, name)
    assert "is given twice" in answer.json()["error"]["message"]


def test_keys_of_a_map_are_no_fields(http: httpx.Client) -> None:
    """They may have any name that the map's type allows."""
    assert http.post("/api/generate", json={"prompt": "a", "max_tokens": 1, "logit_bias": {"70": 1}}).status_code == 200


@pytest.mark.parametrize(
    "body", [b"{text: 'a'}", b"{'text': 'a'}", b'{"text": "a",}', b'{"text": "a", \'x\': 1}', b'{"text": "a", x: 1}']
)
def test_what_is_nearly_json_is_refused(http: httpx.Client, body: bytes) -> None:
    """The transcoder takes it, and with it names that nobody has looked at."""
    assert refused_field(http.post("/api/tokenize", content=body)) == "body"


def test_body_in_pieces_is_looked_at_as_a_whole(http: httpx.Client) -> None:
    """The name stands in two of them."""
    pieces = (piece for piece in (b'{"text": "a", "te', b'xts": 1}'))
    assert refused_field(http.post("/api/tokenize", content=pieces)) == "texts"


def test_header_of_a_caller_refuses_nothing(http: httpx.Client, demo: RunningService) -> None:
    """Only what Envoy finds counts."""
    assert http.post("/api/tokenize", json={"text": "a"}, headers={headers.UNKNOWN_FIELD: "text"}).status_code == 200
    with grpc.insecure_channel(demo.through_envoy) as channel:
        stub = tokens_pb2_grpc.TokenServiceStub(channel)
        request = tokens_pb2.TokenizeRequest(text="a")
        assert stub.Tokenize(request, timeout=60, metadata=[(headers.UNKNOWN_FIELD, "text")]).tokens


def test_largest_body_is_looked_at(http: httpx.Client) -> None:
    """Up to the limit of bodies, behind its largest text."""
    body = json.dumps({"text": 'ab \\" ' * 400_000, "x": 1})
    assert len(body) < 4 << 20
    assert refused_field(http.post("/api/tokenize", content=body)) == "x"
    assert http.post("/api/tokenize", content=body + " " * (4 << 20)).status_code == 413


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/score", {"prompt": "a", "continuations": ["a,"] * 140_000}),
        ("/api/chat", {"messages": [{}] * 140_000}),
        ("/api/detokenize", {"token_ids": [1] * 140_000}),
    ],
)
def test_body_of_too_many_values_does_not_reach_the_transcoder(http: httpx.Client, path: str, body: object) -> None:
    """It would keep one of Envoy's threads for longer than others should wait."""
    answer = http.post(path, json=body)
    assert refused_field(answer) == "body"
    assert answer.json()["message"] == "body: has more than 131072 values"


def test_commas_of_a_text_are_no_values(http: httpx.Client) -> None:
    """Beside quotes and backslashes too."""
    answer = http.post("/api/tokenize", json={"text": '\\",' * 50_000, "model": "nope"})
    assert answer.status_code == 404, answer.text
    answer = http.post("/api/tokenize", json={"text": "," * 200_000, "model": "nope"})
    assert answer.status_code == 404, answer.text
