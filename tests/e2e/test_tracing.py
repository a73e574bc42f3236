"""What a collector receives of requests, and that the service does not need one."""

import json
import os
import re
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from llm_inference.v1 import embeddings_pb2, embeddings_pb2_grpc, inference_pb2
from tests.e2e.service import COMMAND, RunningService, clean_environment, inference, run_service
from tests.fakes.collector import Collector, Seen, grpc_collector, http_collector
from tests.fakes.ports import free_port

ENDLESS = {"prompt": "hello", "max_tokens": 1900, "ignore_eos": True}
CHAT = {"messages": [{"role": "user", "content": "secret words"}], "max_tokens": 5, "ignore_eos": True}
ONE_MODEL = {"LLM_ALLOWED_MODELS": "tiny=tiny.gguf"}
CALLERS_SPAN = "b7ad6b7169203331"
RPC, MODEL = "llm_inference.v1.InferenceService", "text_completion tiny"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """A collector for all tests that tell their traces apart."""
    with grpc_collector() as running:
        yield running


@pytest.fixture(scope="module")
def traced(
    tmp_path_factory: pytest.TempPathFactory, model_directory: Path, collector: Collector
) -> Iterator[RunningService]:
    """A service that sends its traces to the collector."""
    variables = {**ONE_MODEL, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    with run_service(tmp_path_factory.mktemp("traced"), model_directory, **variables) as service:
        yield service


def new_trace() -> tuple[str, str]:
    """Returns a new trace's id, and the `traceparent` of a caller in it."""
    trace = secrets.token_hex(16)
    return trace, f"00-{trace}-{CALLERS_SPAN}-01"


def rpc_and_model(collector: Collector, trace: str, model: str = MODEL) -> tuple[Seen, Seen]:
    """Returns the spans of an RPC that came without Envoy: its own, and its request's to the model."""
    rpc, generation = collector.wait_for(2, trace)
    assert (rpc.parent_id, generation.parent_id) == (CALLERS_SPAN, rpc.span_id)
    assert (rpc.service, generation.name) == ("llm-inference-api", model)
    return rpc, generation


def call(service: RunningService, traceparent: str, read: Callable[[Any], Any], **options: Any) -> grpc.StatusCode:
    """Opens an endless stream, reads it to its end, and returns its status."""
    with grpc.insecure_channel(service.address) as channel:
        request = inference_pb2.GenerateRequest(**{**ENDLESS, **options.pop("body", {})})
        stream = inference(channel).GenerateStream(request, metadata=(("traceparent", traceparent),), **options)
        with pytest.raises(grpc.RpcError) as caught:
            read(stream)
    return caught.value.code()  # type: ignore[attr-defined,no-any-return]


def access_line(service: RunningService, trace: str) -> dict[str, Any]:
    """Returns the access line of the RPC in the trace."""
    lines = [json.loads(line) for line in service.log().splitlines()]
    (found,) = (line for line in lines if line.get("trace_id") == trace and line["logger"].endswith(".access"))
    return dict(found)


def test_chat_over_http_is_one_trace_through_envoy(traced: RunningService, collector: Collector) -> None:
    """The caller's span is the parent of Envoy's, that of the RPC's, that of the model's; one id names the request."""
    trace, traceparent = new_trace()
    answer = httpx.post(f"{traced.url}/api/chat", json=CHAT, headers={"traceparent": traceparent}, timeout=30)
    envoy, rpc, chat = collector.wait_for(3, trace)
    assert [envoy.service, rpc.service, chat.service] == [
        "llm-inference-api-envoy",
        "llm-inference-api",
        "llm-inference-api",
    ]
    assert [envoy.name, rpc.name, chat.name] == ["POST generate", f"/{RPC}/Chat", "chat tiny"]
    assert [envoy.parent_id, rpc.parent_id, chat.parent_id] == [CALLERS_SPAN, envoy.span_id, rpc.span_id]
    assert not any(span.failed for span in (envoy, rpc, chat))
    request_id = answer.headers["x-request-id"]
    assert envoy.attributes["guid:x-request-id"] == request_id
    assert rpc.attributes["rpc.request.metadata.x-request-id"] == [request_id]
    line = access_line(traced, trace)
    assert (line["request_id"], line["span_id"]) == (request_id, rpc.span_id)


def test_model_span_says_what_was_asked_and_what_it_cost(traced: RunningService, collector: Collector) -> None:
    """Parameters, usage, finish reason and times are attributes by OpenTelemetry's names; prompts are not there."""
    trace, traceparent = new_trace()
    body = {**CHAT, "temperature": 0.5, "top_k": 7, "seed": 3, "stop": ["zzz"]}
    with grpc.insecure_channel(traced.address) as channel:
        answer = inference(channel).Chat(inference_pb2.ChatRequest(**body), metadata=(("traceparent", traceparent),))
    _, chat = rpc_and_model(collector, trace, "chat tiny")
    ours = {name.removeprefix("gen_ai."): value for name, value in chat.attributes.items()}
    assert ours.pop("response.time_to_first_chunk") > 0
    assert ours == {
        "operation.name": "chat",
        "provider.name": "llama_cpp",
        "request.model": "tiny",
        "response.model": "tiny",
        "response.id": answer.id,
        "output.type": "text",
        "request.max_tokens": 5,
        "request.temperature": 0.5,
        "request.top_p": pytest.approx(0.9),
        "request.top_k": 7,
        "request.seed": 3,
        "request.stop_sequences": ["zzz"],
        "usage.input_tokens": answer.usage.prompt_tokens,
        "usage.output_tokens": 5,
        "usage.reasoning.output_tokens": 0,
        "usage.cache_read.input_tokens": answer.usage.cached_tokens,
        "response.finish_reasons": ["length"],
    }
    assert "secret" not in str(chat.raw)
    assert [name for name, _ in chat.events] == ["queue", "prefill", "decode"]
    times = [chat.start, *(at for _, at in chat.events), chat.end]
    assert times == sorted(times)


def test_embeddings_have_a_span(traced: RunningService, collector: Collector) -> None:
    """It says the model and the tokens."""
    trace, traceparent = new_trace()
    with grpc.insecure_channel(traced.address) as channel:
        stub = embeddings_pb2_grpc.EmbeddingServiceStub(channel)
        request = embeddings_pb2.EmbedRequest(texts=["hello", "you"])
        found = stub.Embed(request, metadata=(("traceparent", traceparent),))
    _, embeddings = rpc_and_model(collector, trace, "embeddings tiny")
    assert embeddings.attributes["gen_ai.usage.input_tokens"] == found.usage.prompt_tokens


def test_trace_begins_at_the_terminal(traced: RunningService, collector: Collector) -> None:
    """The span of a command's call is the parent of the RPC's."""
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "SERVICE_NAME": "terminal"}
    arguments = ("generate", "hello", "--max-tokens", "2", "--address", traced.address)
    subprocess.run([*COMMAND, *arguments], env={**clean_environment(), **variables}, check=True, timeout=60)
    (called,) = (span for span in collector.spans() if span.service == "terminal-cli")
    called, rpc, generation = collector.wait_for(3, called.trace_id)
    assert called.name == rpc.name == f"/{RPC}/GenerateStream"
    assert [called.parent_id, rpc.parent_id, generation.parent_id] == ["", called.span_id, rpc.span_id]


def test_cancelled_stream_is_cancelled_in_its_trace(traced: RunningService, collector: Collector) -> None:
    """A caller who leaves is no failure of the service, and no success either."""
    trace, traceparent = new_trace()

    def leave(stream: Any) -> None:
        next(stream)
        stream.cancel()
        next(stream)

    assert call(traced, traceparent, leave) is grpc.StatusCode.CANCELLED
    rpc, generation = rpc_and_model(collector, trace)
    assert (rpc.attributes["rpc.grpc.status_code"], rpc.failed) == (1, False)
    assert (generation.attributes["error.type"], generation.failed) == ("CANCELLED", False)
    assert [name for name, _ in generation.events] == ["queue", "prefill", "decode"]
    assert access_line(traced, trace)["code"] == "CANCELLED"


def test_late_call_has_failed_in_its_trace(traced: RunningService, collector: Collector) -> None:
    """A passed deadline is DEADLINE_EXCEEDED in both spans, and a failure."""
    seen: list[Any] = []
    timeout = 0.3
    while not seen:  # On a busy machine, the deadline may pass before the model is asked.
        trace, traceparent = new_trace()
        code = call(traced, traceparent, lambda stream: seen.extend(iter(stream)), timeout=timeout)
        assert code is grpc.StatusCode.DEADLINE_EXCEEDED
        timeout *= 2
    rpc, generation = rpc_and_model(collector, trace)
    assert (rpc.attributes["rpc.grpc.status_code"], rpc.failed) == (4, True)
    assert (generation.attributes["error.type"], generation.failed) == ("DEADLINE_EXCEEDED", True)


def test_refused_request_is_the_callers_fault_in_its_trace(traced: RunningService, collector: Collector) -> None:
    """A request that is refused before it reaches a model has the RPC's span only, with its status."""
    trace, traceparent = new_trace()
    assert call(traced, traceparent, list, body={"temperature": 9}) is grpc.StatusCode.INVALID_ARGUMENT
    (rpc,) = collector.wait_for(1, trace)
    assert (rpc.attributes["rpc.grpc.status_code"], rpc.failed, rpc.events) == (3, False, [])


def test_request_that_the_worker_refuses_says_so_in_both_spans(traced: RunningService, collector: Collector) -> None:
    """What only the worker can check, such as the context's length, fails the model's span too."""
    trace, traceparent = new_trace()
    code = call(traced, traceparent, list, body={"prompt": "x" * 5000})
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    rpc, generation = rpc_and_model(collector, trace)
    assert rpc.attributes["rpc.grpc.status_code"] == 3
    assert (generation.attributes["error.type"], generation.failed) == ("INVALID_ARGUMENT", False)


def test_killed_worker_has_failed_in_the_trace(traced: RunningService, collector: Collector) -> None:
    """A request whose model's process dies is UNAVAILABLE in both spans, a failure, and says why."""
    trace, traceparent = new_trace()

    def kill(stream: Any) -> None:
        next(stream)
        os.kill(traced.worker_pid(), signal.SIGKILL)
        list(stream)

    assert call(traced, traceparent, kill) is grpc.StatusCode.UNAVAILABLE
    rpc, generation = rpc_and_model(collector, trace)
    assert (rpc.attributes["rpc.grpc.status_code"], rpc.failed) == (14, True)
    assert "process ended" in rpc.raw.status.message
    assert (generation.attributes["error.type"], generation.failed) == ("UNAVAILABLE", True)
    httpx.post(f"{traced.url}/api/generate", json={"prompt": "x", "max_tokens": 1}, timeout=30).raise_for_status()


def test_caller_that_does_not_sample_is_not_traced(traced: RunningService, collector: Collector) -> None:
    """The flag of `traceparent` decides; the trace's id is in the log all the same."""
    trace, traceparent = new_trace()
    headers = {"traceparent": traceparent[:-1] + "0"}
    httpx.post(f"{traced.url}/api/chat", json=CHAT, headers=headers, timeout=30).raise_for_status()
    after, sampled = new_trace()
    httpx.post(f"{traced.url}/api/chat", json=CHAT, headers={"traceparent": sampled}, timeout=30).raise_for_status()
    collector.wait_for(3, after)
    assert collector.spans(trace) == []
    assert access_line(traced, trace)["code"] == "OK"


def test_metrics_and_probes_leave_no_traces(traced: RunningService, collector: Collector) -> None:
    """What is asked every second would hide the requests."""
    for path in ("/metrics", "/health/ready"):
        httpx.get(f"{traced.url}{path}", timeout=10).raise_for_status()
    trace, traceparent = new_trace()
    httpx.post(f"{traced.url}/api/chat", json=CHAT, headers={"traceparent": traceparent}, timeout=30)
    collector.wait_for(3, trace)
    assert not [span.name for span in collector.spans() if re.search("[Mm]etrics|[Hh]ealth", span.name)]


def test_traces_go_over_http_too(tmp_path: Path, model_directory: Path) -> None:
    """With `http/protobuf` the service and Envoy post to the collector, with its headers; SERVICE_NAME names both.

    The headers may hold a key: the process that reads model files does not get them.
    """
    with http_collector() as collector:
        variables = {
            **ONE_MODEL,
            "SERVICE_NAME": "mine",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_HEADERS": "api-key=k%3D1",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        with run_service(tmp_path, model_directory, **variables) as service:
            trace, traceparent = new_trace()
            headers = {"traceparent": traceparent}
            httpx.post(f"{service.url}/api/chat", json=CHAT, headers=headers, timeout=30).raise_for_status()
            spans = collector.wait_for(3, trace)
            of_worker = Path(f"/proc/{service.worker_pid()}/environ").read_bytes()
        assert b"k%3D1" not in of_worker
        assert [span.service for span in spans] == ["mine-envoy", "mine", "mine"]
        assert {sent.get("api-key") for sent in collector.headers} == {"k=1"}


def test_sampler_decides_of_requests_without_a_trace(
    tmp_path: Path, model_directory: Path, collector: Collector
) -> None:
    """With the sampler off no trace begins here; one that a caller records goes on, through Envoy too."""
    variables = {
        **ONE_MODEL,
        "SERVICE_NAME": "sampling",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
        "OTEL_TRACES_SAMPLER": "parentbased_always_off",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    with run_service(tmp_path, model_directory, **variables) as service, service.http() as http:
        for _ in range(5):
            http.post("/api/chat", json=CHAT).raise_for_status()
        trace, traceparent = new_trace()
        http.post("/api/chat", json=CHAT, headers={"traceparent": traceparent}).raise_for_status()
        collector.wait_for(3, trace)
    assert {span.trace_id for span in collector.spans() if span.service.startswith("sampling")} == {trace}


def test_service_does_not_need_the_collector(tmp_path: Path, model_directory: Path) -> None:
    """While none answers, requests are served, the log says it once, and the stop is not delayed; then spans arrive."""
    port = free_port()
    variables = {
        **ONE_MODEL,
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
        "OTEL_BSP_SCHEDULE_DELAY": "50",
    }
    with run_service(tmp_path, model_directory, **variables) as service, service.http() as http:

        def chat_until(holds: Callable[[], bool]) -> None:
            """Has chats answered until that holds; the test's timeout bounds it."""
            while not holds():
                assert http.post("/api/chat", json=CHAT).status_code == 200

        def lose_spans() -> None:
            """Has chats answered until exports have failed three times."""
            for _ in range(3):
                lost = service.metric("spans_lost_total")
                chat_until(lambda lost=lost: service.metric("spans_lost_total") > lost)  # type: ignore[misc]

        lose_spans()
        assert service.log().count("traces do not reach") == 1
        assert "opentelemetry" not in service.log()
        with grpc_collector(port) as collector:
            chat_until(lambda: "traces reach" in service.log())
            assert collector.spans()
        lose_spans()
        before = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - before < 8, "it waited for the exporter's timeout of 10 s"
        assert service.log().count("traces do not reach") == 2
