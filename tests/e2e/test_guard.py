"""What Envoy checks, removes and answers before the service sees a request."""

import json
from http.client import HTTPConnection

import grpc
import httpx
import pytest

from llm_inference.v1 import models_pb2
from tests.e2e.raw_http import call, over_http2, request, send
from tests.e2e.service import RunningService, models

LIST = "/llm_inference.v1.ModelService/ListModels"
NOT_PARSED = [
    ("grpc-timeout", "xx", 400),
    ("grpc-timeout", "123456789S", 400),
    ("grpc-timeout", "5S", 200),
    ("foo-bin", "!!!", 200),
    ("grpc-trace-bin", "!!!", 200),
    ("grpc-encoding", "zzz", 200),
    ("grpc-encoding", "gzip", 200),
    ("grpc-previous-rpc-attempts", "x", 200),
    ("grpc-status", "x", 200),
    ("grpc-retry-pushback-ms", "x", 200),
    ("grpc-internal-encoding-request", "x", 200),
]
"""Headers whose values gRPC's server parses, with the HTTP status that is right for REST."""


@pytest.mark.parametrize(("name", "value", "status"), NOT_PARSED)
def test_header_that_grpc_would_parse_is_no_500(http: httpx.Client, name: str, value: str, status: int) -> None:
    """A deadline is checked; what means nothing over REST does not reach the service."""
    answer = http.get("/api/llms", headers={name: value})
    assert answer.status_code == status, answer.text
    assert status == 200 or answer.json()["message"].startswith(f"{name}: must be")


def test_bad_header_leaves_the_calls_of_others_alone(service: RunningService, http: httpx.Client) -> None:
    """Envoy sends many callers' calls over one connection, on which gRPC remembers errors by a header's name."""
    for name in ("grpc-timeout", "foo-bin", "grpc-encoding"):
        http.get("/api/llms", headers={name: "!"})
        call(service.rest_port, LIST, [(name.encode(), b"!")])
    with grpc.insecure_channel(service.through_envoy, compression=grpc.Compression.Gzip) as channel:
        for _ in range(4):
            assert models(channel).ListModels(models_pb2.ListModelsRequest(), timeout=60, metadata=[("foo-bin", b"1")])


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        (b"grpc-timeout", b"xx", grpc.StatusCode.INVALID_ARGUMENT),
        (b"foo-bin", b"!!!", grpc.StatusCode.INVALID_ARGUMENT),
        (b"foo-bin", b"YWJ", grpc.StatusCode.INVALID_ARGUMENT),
        (b"foo-bin", b"YWI", grpc.StatusCode.OK),
        (b"foo-bin", b"YWI=", grpc.StatusCode.OK),
        (b"grpc-encoding", b"zzz", grpc.StatusCode.UNIMPLEMENTED),
        (b"grpc-status", b"x", grpc.StatusCode.OK),
        (b"x-a", b"\xff", grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
def test_metadata_that_cannot_be_parsed_are_refused_by_name(
    service: RunningService, name: bytes, value: bytes, code: grpc.StatusCode
) -> None:
    """A gRPC caller learns which header is wrong; the bits that base64 leaves over are part of it."""
    answer = call(service.rest_port, LIST, [(name, value)])
    assert answer.headers["grpc-status"] == str(code.value[0])
    assert answer.headers["grpc-message"].startswith(name.decode() if code is not grpc.StatusCode.OK else "")


@pytest.mark.parametrize("name", [b"x-a", b"authorization", b"x-request-id", b"user-agent"])
def test_header_that_is_not_ascii_is_refused_without_a_word_in_the_log(service: RunningService, name: bytes) -> None:
    """Nobody without a key can fill the log with errors."""
    before = service.log().count('"ERROR"')
    for value in (b"\xff", "é".encode()):
        answer = send(service.rest_port, request("GET /v1/models", [(name, value)]))
        assert answer.status == 400
        assert json.loads(answer.body)["error"]["message"] == f"{name.decode()}: must be ASCII"
    assert service.log().count('"ERROR"') == before


def test_body_that_is_too_large_is_no_error_in_the_log(service: RunningService) -> None:
    """It is refused by its announced length, without a key, and whoever sends it knows."""
    before = service.log().count('"ERROR"')
    sent = request("POST /api/chat", [(b"content-length", b"9000000")])
    assert send(service.rest_port, sent).status == 413
    assert service.log().count('"ERROR"') == before


def test_metadata_that_are_not_utf8_are_one_line(service: RunningService) -> None:
    """On the gRPC port a call with such a value is served, and neither the value nor a traceback is logged."""
    before = len(service.log())
    for _ in range(3):
        answer = call(service.grpc_port, LIST, [(b"authorization", b"Bearer secret\xff")])
        assert answer.headers["grpc-status"] == "0"
    lines = [json.loads(line) for line in service.log()[before:].splitlines()]
    about = [line for line in lines if "UTF-8" in line["message"]]
    assert [line["severity"] for line in about[:1]] == ["WARN"]
    assert not any("exception" in line for line in lines)
    assert "secret" not in service.log()[before:]


HEAD_PATHS = [
    "/",
    "/api/llms",
    "/api/llms/tiny",
    "/api/llms/none",
    "/v1/models",
    "/metrics",
    "/openapi.json",
    "/swagger-ui",
    "/health/ready",
    "/nowhere",
]


@pytest.mark.parametrize("path", HEAD_PATHS)
def test_head_is_get_without_its_body(service: RunningService, path: str) -> None:
    """Same status and type; the connection, on which nothing is left over, serves the next request."""
    connection = HTTPConnection("127.0.0.1", service.rest_port, timeout=20)
    said = []
    for method in ("HEAD", "GET", "HEAD"):
        connection.request(method, path)
        response = connection.getresponse()
        body = response.read()
        assert method == "GET" or body == b""
        said.append((response.status, response.getheader("content-type") if body or method == "GET" else None))
    connection.close()
    assert {status for status, _ in said} == {said[1][0]}


def test_head_says_how_long_and_of_which_type_get_is(http: httpx.Client) -> None:
    """As RFC 9110, 9.3.2 has it."""
    plain = {"accept-encoding": "identity"}
    get, head = (http.request(method, "/v1/models", headers=plain) for method in ("GET", "HEAD"))
    assert {name: get.headers[name] for name in ("content-type", "content-length")} == {
        name: head.headers[name] for name in ("content-type", "content-length")
    }


def test_head_of_a_stream_ends(http: httpx.Client) -> None:
    """A watch that is asked for its headers does not go on."""
    answer = http.head("/api/llms/tiny:watch")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")
    assert http.head("/api/llms/none:watch").status_code == 404


def test_head_has_no_body_over_http2(service: RunningService) -> None:
    """A body there would be an error of the protocol."""
    answer = over_http2(service.rest_port, "HEAD /api/llms")
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["content-length"]) == len(over_http2(service.rest_port, "GET /api/llms").body)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/api/chat", "POST, OPTIONS"),
        ("/v1/chat/completions", "POST, OPTIONS"),
        ("/api/llms/tiny:load", "POST, OPTIONS"),
        ("/api/llms", "GET, HEAD, OPTIONS"),
        ("/v1/models/tiny", "GET, HEAD, OPTIONS"),
        ("/v1/files", "GET, POST, HEAD, OPTIONS"),
        ("/v1/files/file-0", "GET, DELETE, HEAD, OPTIONS"),
        ("/v1/files/file-0/content", "GET, HEAD, OPTIONS"),
        ("/v1/batches/batch-0", "GET, HEAD, OPTIONS"),
        ("/health/live", "GET, HEAD, OPTIONS"),
        ("/", "GET, HEAD, OPTIONS"),
    ],
)
def test_options_say_what_is_allowed(http: httpx.Client, path: str, allowed: str) -> None:
    """Without CORS headers it is a plain question; another method gets the same `Allow` with its 405."""
    answer = http.options(path)
    assert (answer.status_code, answer.headers["allow"], answer.content) == (204, allowed, b"")
    refused = http.request("PATCH", path)
    assert (refused.status_code, refused.headers["allow"]) == (405, allowed)


def test_options_of_an_unknown_path_are_a_404(http: httpx.Client) -> None:
    """Nothing is allowed there."""
    assert http.options("/nowhere").status_code == 404


REFUSED = [
    ("GET /api/llms", (), None, 400),
    ("GET /api/llms/%00", (), b"x", 400),
    ("GET /api/llms#x", (), b"x", 400),
    ("OPTIONS *", (), b"x", 404),
    ("GET /api/llms", ((b"upgrade", b"websocket"), (b"connection", b"upgrade")), b"x", 403),
]


@pytest.mark.parametrize(("line", "headers", "host", "status"), REFUSED)
def test_refusal_of_envoy_says_why(
    service: RunningService, line: str, headers: tuple[tuple[bytes, bytes], ...], host: bytes | None, status: int
) -> None:
    """Also where Envoy itself has no words for it, in the shape of the API that was asked."""
    answer = send(service.rest_port, request(line, headers, host=host))
    assert answer.status == status
    assert json.loads(answer.body)["message"]
    if "/api/llms" in line:
        openai = send(service.rest_port, request(line.replace("/api/llms", "/v1/models"), headers, host=host))
        assert openai.status == status
        error = json.loads(openai.body)["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["message"] == json.loads(answer.body)["message"]


@pytest.mark.parametrize(
    "line", ["GET /v1", "GET /v1?x=1", "POST /v1/nope", "PATCH /v1/models", "BREW /v1/models", "CONNECT /v1/models"]
)
def test_whatever_is_asked_of_v1_has_openais_error(service: RunningService, line: str) -> None:
    """The bare prefix, unknown paths, and methods of which Envoy's parser knows nothing."""
    error = json.loads(send(service.rest_port, request(line)).body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize("method", ["ModelService/ListModels", "ModelService/None", "NoService/None"])
def test_grpc_call_over_http1_gets_its_status(service: RunningService, method: str) -> None:
    """Some clients' HTTP stack leaves `te` out; the service itself says what it does not have."""
    sent = request(f"POST /llm_inference.v1.{method}", [(b"content-type", b"application/grpc")], body=bytes(5))
    answer = send(service.rest_port, sent)
    assert answer.headers.get("grpc-status", "0") == ("0" if "List" in method else "12")


UNREAD = [(b"x-long", b"x" * 9000), (b"x_underscored", b"1"), (b"transfer-encoding", b"foo")]


@pytest.mark.parametrize("header", UNREAD)
def test_refusal_before_the_path_is_read_fits_both_apis(service: RunningService, header: tuple[bytes, bytes]) -> None:
    """Envoy does not know then which of them was asked."""
    for path in ("/api/llms", "/v1/models"):
        body = json.loads(send(service.rest_port, request(f"GET {path}", [header])).body)
        assert body["code"] == (12 if b"transfer-encoding" in header else 3)
        assert body["message"] == body["error"]["message"] != ""
