"""Pages of other origins, where CORS_ALLOWED_ORIGINS is a list: what they send is not carried out."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.grpc_web import CONTENT_TYPE
from tests.e2e.raw_http import Answer, call, request, send
from tests.e2e.secured import run_secured
from tests.e2e.service import RunningService

GOOD, EVIL = "https://good.example", "https://evil.example"
PATHS = ["/api/tokenize", "/api/llms/tiny:load", "/v1/completions", "/llm_inference.v1.ModelService/UnloadModel"]
ASK = {"text": "Hello"}
UNKNOWN = ["evil.example", "evil.example:8091", "localhost.evil.example", "127.0.0.1.evil.example"]
KNOWN = ["localhost", "LOCALHOST:8091", "chat.localhost", "127.0.0.1:1", "10.1.2.3", "[::1]:8091"]
LISTED = ["llm.internal:8091", "good.example", "good.example."]


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory, model_directory: Path) -> Iterator[RunningService]:
    """A service without keys whose list of origins has one."""
    variables = {"CORS_ALLOWED_ORIGINS": GOOD, "LLM_ALLOWED_HOSTS": "llm.internal"}
    with run_secured(tmp_path_factory.mktemp("closed"), model_directory, **variables) as running:
        yield running


@pytest.fixture
def page(closed: RunningService) -> Iterator[httpx.Client]:
    """A client that sends what a page's scripts could."""
    with closed.http() as client:
        yield client


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("origin", [EVIL, "http://good.example", "https://good.example.evil.example", "null"])
@pytest.mark.parametrize("kind", ["text/plain", "application/json", CONTENT_TYPE])
def test_page_of_another_origin_is_refused(page: httpx.Client, path: str, origin: str, kind: str) -> None:
    """Whether or not the browser had to ask first."""
    answer = page.post(path, content=b"{}", headers={"origin": origin, "content-type": kind})
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/api/llms", "/v1/models", "/metrics"])
def test_page_of_another_origin_reads_nothing(page: httpx.Client, path: str) -> None:
    """Scripts that it loads from here carry its origin too."""
    assert page.get(path, headers={"origin": EVIL}).status_code == 403
    assert page.get(path).status_code == 200


def test_form_needs_what_no_page_sends_unasked(page: httpx.Client) -> None:
    """OpenAI's clients upload files as forms, as pages may, but with a bearer token, which these may not."""
    form = {"files": {"file": ("a", b"{}")}, "data": {"purpose": "batch"}}
    assert page.post("/v1/files", **form).status_code == 415
    assert page.post("/v1/files", **form, headers={"authorization": "Basic eDp5"}).status_code == 415
    answer = page.post("/v1/files", **form, headers={"authorization": "Bearer none"})
    assert (answer.status_code, "LLM_BATCH_STORE" in answer.text) == (400, True)


def test_pages_of_the_list_and_of_the_service_may_call(page: httpx.Client, closed: RunningService) -> None:
    """The chat page is of the service's own origin, by whatever address it was opened."""
    own = {f"http://127.0.0.1:{closed.rest_port}": None, f"http://localhost:{closed.rest_port}": None}
    for origin in (GOOD, GOOD.upper(), *own):
        host = origin.partition("://")[2].lower() if origin in own else f"127.0.0.1:{closed.rest_port}"
        answer = page.post("/api/tokenize", json=ASK, headers={"origin": origin, "host": host})
        assert answer.status_code == 200, (origin, answer.text)


def ask(service: RunningService, host: str, origin: str | None = None) -> Answer:
    """Asks for the models under this name."""
    more = [(b"origin", origin.encode())] if origin else []
    return send(service.rest_port, request("GET /api/llms", more, host=host.encode()))


@pytest.mark.parametrize("host", UNKNOWN)
def test_unknown_host_is_refused(closed: RunningService, host: str) -> None:
    """A page whose name was made to point here (DNS rebinding) is of the service's own origin, but for the name."""
    assert ask(closed, host).status == 403
    assert ask(closed, host, f"http://{host}").status == 403


@pytest.mark.parametrize("host", [*KNOWN, *LISTED])
def test_known_host_is_served(closed: RunningService, host: str) -> None:
    """Addresses, which no page's name is; localhost; the hosts of the list of origins, and of LLM_ALLOWED_HOSTS."""
    assert ask(closed, host).status == 200


def test_grpc_call_of_an_unknown_host_is_refused(closed: RunningService) -> None:
    """A page can send gRPC's media type to its own origin."""
    headers = [(b"content-type", b"application/grpc"), (b"te", b"trailers")]
    line = "POST /llm_inference.v1.ModelService/ListModels"
    answer = send(closed.rest_port, request(line, headers, host=b"evil.example", body=bytes(5)))
    assert answer.headers["grpc-status"] == "7"
    assert call(closed.rest_port, "/llm_inference.v1.ModelService/ListModels", []).headers["grpc-status"] == "0"


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("Application/JSON", 200),
        ("text/plain", 415),
        ("text/plain; charset=application/json", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        (None, 415),
    ],
)
def test_body_is_asked_for_by_its_type(closed: RunningService, kind: str | None, status: int) -> None:
    """A form's types, and none, can be sent without asking by pages whose browser marks no origin."""
    headers = [(b"content-type", kind.encode())] if kind else []
    answer = send(closed.rest_port, request("POST /api/tokenize", headers, body=b'{"text": "Hello"}'))
    assert answer.status == status


def test_post_without_a_body_needs_no_type(page: httpx.Client) -> None:
    """As `curl -X POST` sends it to load a model."""
    answer = page.post("/api/llms/tiny:load", headers={"content-type": ""})
    assert answer.status_code == 200


def test_health_is_told_to_every_host(closed: RunningService) -> None:
    """Probes name the service as they like."""
    assert send(closed.rest_port, request("GET /health/live", host=b"pod-1.example")).status == 200


def test_keys_make_host_and_type_free(tmp_path: Path, model_directory: Path) -> None:
    """No foreign page has a key; its origin is still refused."""
    keyed = {"CORS_ALLOWED_ORIGINS": GOOD, "LLM_API_KEYS": "ann:0123456789abcdef"}
    headers = [(b"authorization", b"Bearer 0123456789abcdef"), (b"content-type", b"text/plain")]
    with run_secured(tmp_path, model_directory, **keyed) as service:
        answers = [
            send(service.rest_port, request("POST /api/tokenize", more, host=b"any.example", body=b'{"text": "a"}'))
            for more in (headers, [*headers, (b"origin", EVIL.encode())])
        ]
    assert [answer.status for answer in answers] == [200, 403]


def test_any_page_may_call_by_default(service: RunningService) -> None:
    """The default list has everybody, under every name."""
    headers = [(b"origin", EVIL.encode()), (b"content-type", b"text/plain")]
    sent = request("POST /api/tokenize", headers, host=b"any.example", body=b'{"model": "tiny", "text": "a"}')
    assert send(service.rest_port, sent).status == 200


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, model_directory: Path) -> Iterator[RunningService]:
    """A service that only pages of this machine may call."""
    with run_secured(tmp_path_factory.mktemp("local"), model_directory, CORS_ALLOWED_ORIGINS="localhost") as running:
        yield running


@pytest.mark.parametrize(
    "origin", ["http://localhost:3000", "https://localhost", "http://127.0.0.1:5173", "http://[::1]:1"]
)
def test_page_of_this_machine_may_call_from_any_port(local: RunningService, origin: str) -> None:
    """Development servers choose theirs."""
    answer = httpx.post(f"{local.url}/api/tokenize", json=ASK, headers={"origin": origin})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == origin


@pytest.mark.parametrize(
    "origin",
    ["http://localhost.evil.example", "http://evil.example:3000", "http://127.0.0.1.evil.example", "http://127.0.0.2"],
)
def test_page_that_only_looks_local_is_refused(local: RunningService, origin: str) -> None:
    """The whole name counts."""
    assert httpx.post(f"{local.url}/api/tokenize", json=ASK, headers={"origin": origin}).status_code == 403
