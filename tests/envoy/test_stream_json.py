"""The JSON of streams, byte for byte, as the real Envoy writes it from the service's messages."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from llm_inference.v1 import generation_pb2, inference_pb2, tools_pb2
from tests.e2e.replicas import render_front, run_envoy
from tests.fakes.scripted import ScriptedService

Generate, Chat, Delta = inference_pb2.GenerateStreamResponse, inference_pb2.ChatStreamResponse, inference_pb2.ChatDelta

HEADING: dict[str, Any] = {"id": "a", "created": 7, "model": "tiny", "seed": 0}
USAGE = generation_pb2.Usage(prompt_tokens=3, completion_tokens=2, total_tokens=5)
USAGE_JSON = '{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,"cached_tokens":0,"reasoning_tokens":0}'
TOKEN = generation_pb2.TokenLogprob(token_id=1, token="é", token_bytes="é".encode(), logprob=-0.5)
LOGPROBS = generation_pb2.Logprobs(tokens=[TOKEN])
TOKEN_JSON = '{"token_id":1,"token":"é","token_bytes":"w6k=","logprob":-0.5,"top_logprobs":[]}'


def cause() -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(error_details_pb2.ErrorInfo(reason="CRASHED", domain="example"))
    return packed


ERROR = status_pb2.Status(code=14, message="gone", details=[cause()])
CAUSE_JSON = '{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"CRASHED","domain":"example","metadata":{}}'

EITHER: list[tuple[dict[str, Any], str]] = [
    ({}, "{}"),
    ({"progress": generation_pb2.Progress()}, '{"progress":{"stage":"STAGE_UNSPECIFIED"}}'),
    (
        {"progress": generation_pb2.Progress(stage="QUEUED", requests_ahead=0)},
        '{"progress":{"stage":"QUEUED","requests_ahead":0}}',
    ),
    (
        {"progress": generation_pb2.Progress(stage="PREFILL", prompt_tokens=9, computed_tokens=0)},
        '{"progress":{"stage":"PREFILL","prompt_tokens":9,"computed_tokens":0}}',
    ),
    ({"error": ERROR}, f'{{"error":{{"code":14,"message":"gone","details":[{CAUSE_JSON}]}}}}'),
]
"""Messages that the streams of Generate and Chat have in common."""

GENERATE: list[tuple[dict[str, Any], str]] = [
    ({**HEADING, "text": ""}, '{"id":"a","created":7,"model":"tiny","text":"","seed":0}'),
    ({"text": "é", "index": 0}, '{"text":"é","index":0}'),
    (
        {"text": "", "finish_reason": "STOP", "usage": USAGE},
        f'{{"text":"","finish_reason":"STOP","usage":{USAGE_JSON}}}',
    ),
    ({"text": "é", "logprobs": LOGPROBS}, f'{{"text":"é","logprobs":{{"tokens":[{TOKEN_JSON}]}}}}'),
]

CHAT: list[tuple[dict[str, Any], str]] = [
    ({**HEADING, "delta": Delta()}, '{"id":"a","created":7,"model":"tiny","delta":{},"seed":0}'),
    ({"delta": Delta(content="")}, '{"delta":{"content":""}}'),
    ({"delta": Delta(reasoning_content="é"), "index": 1}, '{"delta":{"reasoning_content":"é"},"index":1}'),
    (
        {"delta": Delta(tool_call=tools_pb2.ToolCallDelta(index=0, id="c", name="f", arguments=""))},
        '{"delta":{"tool_call":{"index":0,"id":"c","name":"f","arguments":""}}}',
    ),
    (
        {"delta": Delta(content=""), "finish_reason": "LENGTH", "usage": USAGE},
        f'{{"delta":{{"content":""}},"finish_reason":"LENGTH","usage":{USAGE_JSON}}}',
    ),
]


@pytest.fixture(scope="module")
def service() -> ScriptedService:
    return ScriptedService()


@pytest.fixture(scope="module")
def rest(service: ScriptedService, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a sidecar before the service."""
    with service.serve() as port:
        sidecar, config = render_front("--upstream", f"127.0.0.1:{port}")
        with (
            run_envoy(tmp_path_factory.mktemp("sidecar"), config),
            httpx.Client(base_url=sidecar.url, timeout=30) as client,
        ):
            replace(sidecar, affinity=False).wait_for_healthy(1)
            yield client


def events(texts: list[str]) -> str:
    return "".join(f"data: {text}\n\n" for text in texts)


def test_stream_of_generate(rest: httpx.Client, service: ScriptedService) -> None:
    """What is not set is not printed, and what is set is, also where it is empty."""
    fields, texts = zip(*EITHER, *GENERATE, strict=True)
    service.generate = [Generate(**each) for each in fields]
    assert rest.post("/api/generate/stream", json={"prompt": "a"}).text == events(list(texts))


def test_stream_of_chat(rest: httpx.Client, service: ScriptedService) -> None:
    """What is not set is not printed, and what is set is, also where it is empty."""
    fields, texts = zip(*EITHER, *CHAT, strict=True)
    service.chat = [Chat(**each) for each in fields]
    body = {"messages": [{"role": "user", "content": "a"}]}
    assert rest.post("/api/chat/stream", json=body).text == events(list(texts))
