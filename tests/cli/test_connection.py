"""What the commands' calls carry."""

import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest

from llm_inference.v1 import inference_pb2, inference_pb2_grpc, models_pb2, models_pb2_grpc
from llm_inference_api.cli.connection import connect, text_of
from llm_inference_api.errors import StartError
from tests.e2e.service import clean_environment
from tests.fakes.collector import grpc_collector
from tests.fakes.ports import free_port

CLIENT_SPAN = 3
"""SPAN_KIND_CLIENT (trace.proto)."""


class RecordingService(inference_pb2_grpc.InferenceServiceServicer, models_pb2_grpc.ModelServiceServicer):
    """Keeps the metadata of each call, by the method's name."""

    def __init__(self) -> None:
        self.metadata: dict[str, dict[str, Any]] = {}

    async def ListModels(self, request: Any, context: Any) -> Any:
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
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}", seen
    await server.stop(5)


async def call_everything(address: str) -> None:
    """Makes a unary call, one that is refused, and a stream."""
    async with connect(address) as client:
        assert await client.models() == []
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.load("none")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
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
