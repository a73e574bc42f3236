"""What the commands' calls carry."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from llm_inference.v1 import inference_pb2, inference_pb2_grpc, models_pb2, models_pb2_grpc
from llm_inference_api.cli.common import sentence_of
from llm_inference_api.cli.connection import connect, progress_of, text_of
from llm_inference_api.errors import StartError
from llm_inference_client import ServiceError
from llm_inference_client.errors import _CONNECTION, service_error
from tests.e2e.service import clean_environment
from tests.fakes.certificates import Authority
from tests.fakes.collector import grpc_collector
from tests.fakes.ports import free_port

CLIENT_SPAN = 3
"""SPAN_KIND_CLIENT (trace.proto)."""


class RecordingService(inference_pb2_grpc.InferenceServiceServicer, models_pb2_grpc.ModelServiceServicer):
    """Keeps the metadata of each call, by the method's name. It is not ready, as where a preloaded model has failed."""

    def __init__(self) -> None:
        self.metadata: dict[str, dict[str, Any]] = {}
        self.refusals = 0
        """How many calls are still refused, as by a service that stops."""
        self.health = health.aio.HealthServicer()

    async def ListModels(self, request: Any, context: Any) -> Any:
        if self.refusals:
            self.refusals -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the service stops")
        self.metadata["ListModels"] = dict(context.invocation_metadata())
        return models_pb2.ListModelsResponse()

    async def LoadModel(self, request: Any, context: Any) -> Any:
        self.metadata["LoadModel"] = dict(context.invocation_metadata())
        await context.abort(grpc.StatusCode.NOT_FOUND, "no such model")

    async def ChatStream(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self.metadata["ChatStream"] = dict(context.invocation_metadata())
        for text in ("a", "b"):
            yield inference_pb2.ChatStreamResponse(delta={"content": text})


@pytest.fixture
async def service() -> AsyncIterator[tuple[str, RecordingService]]:
    """The address of a service, and what it has seen."""
    seen, server = RecordingService(), grpc.aio.server()
    inference_pb2_grpc.add_InferenceServiceServicer_to_server(seen, server)
    models_pb2_grpc.add_ModelServiceServicer_to_server(seen, server)
    health_pb2_grpc.add_HealthServicer_to_server(seen.health, server)
    for name in ("", "preloaded"):
        await seen.health.set(name, health_pb2.HealthCheckResponse.NOT_SERVING)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}", seen
    await server.stop(5)


@pytest.fixture
async def tls_service(tmp_path: Path) -> AsyncIterator[tuple[str, Authority]]:
    """The address of a service that speaks TLS, and who has signed its certificate."""
    authority, server = Authority(tmp_path), grpc.aio.server()
    pair = authority.server()
    credentials = grpc.ssl_server_credentials([(pair.key.read_bytes(), pair.certificate.read_bytes())])
    models_pb2_grpc.add_ModelServiceServicer_to_server(RecordingService(), server)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    yield f"127.0.0.1:{port}", authority
    await server.stop(5)


async def refusal(address: str) -> str:
    """Returns what a person is told of a call that fails."""
    with pytest.raises(ServiceError) as caught:
        async with connect(address) as client:
            await client.models(30)
    return sentence_of(caught.value, address)


async def test_tls_is_spoken_where_the_url_says_so(
    tls_service: tuple[str, Authority], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or where there is an authority, and the address does not say otherwise."""
    address, authority = tls_service
    monkeypatch.setenv("LLM_TLS_CA", str(authority.path))
    for text in (f"https://{address}/", address):
        async with connect(text) as client:
            assert await client.models() == []
    assert "With TLS, write https:// before host:port" in await refusal(f"http://{address}")


async def test_certificate_of_another_authority_is_said_so(tls_service: tuple[str, Authority]) -> None:
    """With the variable that helps."""
    address, _ = tls_service
    assert "is not trusted; LLM_TLS_CA is its CA's PEM file" in await refusal(f"https://{address}")


async def test_service_without_tls_is_said_so(
    service: tuple[str, RecordingService], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With what to write instead."""
    address, _ = service
    monkeypatch.setenv("LLM_TLS_CA", str(Authority(tmp_path).path))
    assert "speaks no TLS; write http:// before host:port" in await refusal(address)


async def test_web_server_is_no_service() -> None:
    """What answers there speaks another protocol."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    threading.Thread(target=server.serve_forever).start()
    address = f"127.0.0.1:{server.server_port}"
    said = await refusal(address)
    await asyncio.to_thread(server.shutdown)
    server.server_close()
    assert f"what answers at {address} speaks no gRPC" in said


@pytest.mark.parametrize(
    ("code", "details", "said"),
    [
        (grpc.StatusCode.NOT_FOUND, "", "the service does not have what was asked for (NOT_FOUND)"),
        (grpc.StatusCode.ABORTED, None, "the service does not say why (ABORTED)"),
        (grpc.StatusCode.UNAVAILABLE, 'failed: {"a": "HTTP/2"}', 'failed: {"a": "HTTP/2"} (UNAVAILABLE)'),
        (grpc.StatusCode.INTERNAL, "bad \x1b[2J", r"bad \x1b[2J (INTERNAL)"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", "the service at h:1 does not answer in time"),
    ],
)
def test_every_failure_is_a_sentence(code: grpc.StatusCode, details: str | None, said: str) -> None:
    """The service's own words stay, but for what a terminal would obey."""
    error = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details)
    assert sentence_of(service_error(error), "h:1").startswith(said)


def test_every_failed_connection_has_its_advice() -> None:
    """The client's reasons but the one that it has where it waits for a service that is ready."""
    for reason, _ in _CONNECTION.values():
        error = ServiceError(grpc.StatusCode.UNAVAILABLE, "why", reason=reason)
        assert ("h:1" in sentence_of(error, "h:1")) is (reason != "NOT_READY"), reason


async def test_service_that_is_not_ready_is_asked(service: tuple[str, RecordingService]) -> None:
    """A person wants to see which model has failed."""
    address, _ = service
    async with connect(address) as client:
        assert await client.models() == []
        assert await client.is_serving(None) is False


async def test_call_that_a_stopping_service_refused_is_tried_again(service: tuple[str, RecordingService]) -> None:
    """As every call of the client."""
    address, seen = service
    seen.refusals = 2
    async with connect(address) as client:
        assert await client.models() == []


async def call_everything(address: str) -> None:
    """Makes a unary call, one that is refused, and a stream."""
    async with connect(address) as client:
        assert await client.models() == []
        with pytest.raises(ServiceError) as caught:
            await client.load("none")
        assert caught.value.code is grpc.StatusCode.NOT_FOUND
        assert [text_of(part) async for part in client.chat([("user", "hello")], {})] == ["a", "b"]


async def test_calls_carry_the_trace_whose_spans_the_collector_gets(
    service: tuple[str, RecordingService], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call's `traceparent` names the span that the terminal sends; a refused call's span has its status."""
    address, seen = service
    with grpc_collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        await call_everything(address)
        spans = {span.name.rpartition("/")[2]: span for span in collector.spans()}
    carried = {name: kept["traceparent"].split("-")[1:3] for name, kept in seen.metadata.items()}
    assert carried == {name: [span.trace_id, span.span_id] for name, span in spans.items()}
    assert {name: span.attributes["rpc.grpc.status_code"] for name, span in spans.items()} == {
        "ListModels": 0,
        "LoadModel": 5,
        "ChatStream": 0,
    }
    assert {(span.service, span.raw.kind) for span in spans.values()} == {("llm-inference-api-cli", CLIENT_SPAN)}


@pytest.mark.parametrize("disabled", [None, "true"])
async def test_without_a_collector_calls_carry_no_trace(
    service: tuple[str, RecordingService], monkeypatch: pytest.MonkeyPatch, disabled: str | None
) -> None:
    """Neither where none is named, nor where OpenTelemetry is switched off."""
    address, seen = service
    if disabled:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
        monkeypatch.setenv("OTEL_SDK_DISABLED", disabled)
    await call_everything(address)
    assert len(seen.metadata) == 3
    assert not [kept for kept in seen.metadata.values() if "traceparent" in kept]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "pigeons"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "secret"),
    ],
)
async def test_variable_that_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """The message does not show the value, which may be a key."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")
    monkeypatch.setenv(variable, value)
    with pytest.raises(StartError, match=variable) as caught:
        async with connect("127.0.0.1:1"):
            pass
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("command", "endpoint", "loaded"),
    [
        (("models", "list"), "", False),
        (("models", "list"), "http://127.0.0.1:1", True),
        # The images' HEALTHCHECK runs it every ten seconds.
        (("health",), "http://127.0.0.1:1", False),
    ],
)
def test_opentelemetry_is_loaded_where_it_is_used_only(command: tuple[str, ...], endpoint: str, loaded: bool) -> None:  # noqa: FBT001
    """It takes longer to load than most commands run."""
    program = (
        "import atexit, sys; atexit.register(lambda: print('opentelemetry.sdk' in sys.modules));"
        "from llm_inference_api.cli.main import main; main()"
    )
    arguments = (sys.executable, "-c", program, *command, "--address", f"127.0.0.1:{free_port()}")
    environment = {**clean_environment(), "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip()) == (1, str(loaded))


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (models_pb2.Model(state="DOWNLOADING", progress={"done": 1, "total": 3, "unit": "BYTES"}), "DOWNLOADING 33 %"),
        (models_pb2.Model(state="LOADING"), "LOADING"),
        (models_pb2.Model(state="ACTIVE"), "ACTIVE"),
    ],
)
def test_state_that_passes_has_its_progress(model: models_pb2.Model, said: str) -> None:
    """As far as it is known."""
    assert progress_of(model) == said
