"""OpenAI's endpoints with OpenAI's own client, through Envoy."""

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import httpx
import jsonschema
import openai
import pytest
from google.api.httpbody_pb2 import HttpBody

from llm_inference.v1 import openai_pb2, openai_pb2_grpc
from tests.e2e.secured import wait_until
from tests.e2e.service import RunningService, run_service

SAID: Any = [{"role": "user", "content": "hello"}]
PERSON = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}, "kind": {"enum": ["cat", "dog"]}},
    "required": ["ok", "kind"],
    "additionalProperties": False,
}


@pytest.fixture
def client(service: RunningService) -> Iterator[openai.OpenAI]:
    """OpenAI's client, which does not retry."""
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client


def test_large_document_comes_in_parts_over_grpc(service: RunningService, channel: grpc.Channel) -> None:
    """No message is above 1 MiB, as clients take 4 MiB by default; REST has one document."""
    fields = {"model": "tiny", "messages": SAID, "n": 4, "max_tokens": 250, "seed": 3, "ignore_eos": True}
    body = json.dumps({**fields, "logprobs": True, "top_logprobs": 20}).encode()
    stub = openai_pb2_grpc.OpenAIServiceStub(channel)
    request = openai_pb2.CreateChatCompletionRequest(http_body=HttpBody(content_type="application/json", data=body))
    parts = [message.http_body.data for message in stub.CreateChatCompletion(request)]
    assert len(parts) > 1
    assert max(map(len, parts)) == 1 << 20
    answer = httpx.post(f"{service.url}/v1/chat/completions", content=body, timeout=60).json()
    for choices in (json.loads(b"".join(parts))["choices"], answer["choices"]):
        assert min(len(choice["logprobs"]["content"]) for choice in choices) > 200


def chat(client: openai.OpenAI, **parameters: Any) -> Any:
    """Returns a completion of a few tokens."""
    fields = {"model": "tiny", "messages": SAID, "max_tokens": 8, "seed": 3, "extra_body": {"ignore_eos": True}}
    return client.chat.completions.create(**{**fields, **parameters})


def test_chat_completion_has_openais_shape(client: openai.OpenAI) -> None:
    """A completion is what OpenAI's client reads, with the cache's share in the usage."""
    answer = chat(client)
    assert answer.object == "chat.completion"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 8
    assert answer.usage.prompt_tokens_details.cached_tokens >= 0
    assert answer.system_fingerprint.startswith("fp_")


def test_same_seed_gives_the_same_answer(client: openai.OpenAI) -> None:
    """A seed is honoured."""
    texts = [chat(client, model="steady.gguf", seed=seed).choices[0].message.content for seed in (3, 3, 4)]
    assert texts[0] == texts[1] != texts[2]


def test_stream_adds_up_to_the_whole_answer(client: openai.OpenAI) -> None:
    """The chunks' contents are the unary content; the first has the role, the last choice the reason."""
    chunks = list(chat(client, stream=True, temperature=0))
    choices = [chunk.choices[0] for chunk in chunks]
    whole = chat(client, temperature=0)
    assert "".join(choice.delta.content or "" for choice in choices) == whole.choices[0].message.content
    assert choices[0].delta.role == "assistant"
    assert [choice.finish_reason for choice in choices if choice.finish_reason] == ["length"]
    assert len({chunk.id for chunk in chunks}) == 1
    assert all(chunk.usage is None for chunk in chunks)


def test_stream_ends_with_the_usage_where_it_was_asked_for(client: openai.OpenAI) -> None:
    """With include_usage, one more chunk has no choices but the usage."""
    *others, last = chat(client, stream=True, stream_options={"include_usage": True})
    assert last.choices == []
    assert last.usage.completion_tokens == 8
    assert all(chunk.usage is None for chunk in others)


def test_stream_is_events_and_ends_with_done(http: httpx.Client) -> None:
    """The bytes are server-sent events, the last of which is [DONE]."""
    body = {"model": "tiny", "messages": SAID, "max_tokens": 2, "stream": True}
    answer = http.post("/v1/chat/completions", json=body)
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.text.endswith("\n\ndata: [DONE]\n\n")


def test_several_answers_come_with_their_indices(client: openai.OpenAI) -> None:
    """n answers have one prompt's usage, differ by their seeds, and stream with their indices."""
    whole = chat(client, n=3)
    assert [choice.index for choice in whole.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in whole.choices}) > 1
    assert whole.usage.completion_tokens == 24
    texts = ["", "", ""]
    for chunk in chat(client, n=3, stream=True):
        texts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert all(texts)


def test_logprobs_cover_the_content(client: openai.OpenAI) -> None:
    """The tokens' bytes are the content's; each has as many alternatives as asked for."""
    choice = chat(client, logprobs=True, top_logprobs=2).choices[0]
    data = b"".join(bytes(entry.bytes) for entry in choice.logprobs.content)
    assert data.decode("utf-8", "replace") == choice.message.content
    assert all(len(entry.top_logprobs) == 2 for entry in choice.logprobs.content)


def test_logit_bias_forces_a_token(client: openai.OpenAI) -> None:
    """A bias of 100 wins over all other tokens."""
    answer = chat(client, logit_bias={"64": 100}, temperature=0)
    assert len(set(answer.choices[0].message.content)) == 1


def test_text_parts_are_lines_of_one_text(client: openai.OpenAI) -> None:
    """Content as a list of text parts is their texts, one on each line."""
    parts: Any = [{"role": "user", "content": [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}]}]
    lines: Any = [{"role": "user", "content": "hel\nlo"}]
    asked = {"model": "steady.gguf", "temperature": 0}
    in_parts, whole = (chat(client, **asked, messages=messages) for messages in (parts, lines))
    assert in_parts.choices[0].message == whole.choices[0].message
    assert in_parts.usage.prompt_tokens == whole.usage.prompt_tokens


@pytest.mark.parametrize("stream", [False, True])
def test_answer_follows_a_json_schema(client: openai.OpenAI, *, stream: bool) -> None:
    """Whatever a model of random weights writes is an instance of the schema."""
    form = {"type": "json_schema", "json_schema": {"name": "person", "strict": True, "schema": PERSON}}
    answer = chat(client, response_format=form, max_tokens=400, extra_body={}, stream=stream)
    texts = (
        [chunk.choices[0].delta.content or "" for chunk in answer] if stream else [answer.choices[0].message.content]
    )
    jsonschema.validate(json.loads("".join(texts)), PERSON)


def test_completion_continues_the_prompt(client: openai.OpenAI) -> None:
    """The older endpoint answers whole and as a stream, with the same text, whatever the cache holds by then."""
    fields: Any = {"model": "steady.gguf", "prompt": "hello", "max_tokens": 5, "seed": 1}
    fields["extra_body"] = {"ignore_eos": True}
    whole = client.completions.create(**fields, logprobs=1)
    assert whole.choices[0].logprobs.text_offset[0] == 0
    chunks = list(client.completions.create(**fields, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text


def test_models_are_listed_and_found(client: openai.OpenAI) -> None:
    """Each model of the list can be had by its id, which the client escapes."""
    listed = {model.id: model for model in client.models.list()}
    assert listed["tiny"].max_model_len == 2048
    assert listed["garbage.gguf"].max_model_len is None
    assert client.models.retrieve("plain.gguf").id == "plain.gguf"


@pytest.mark.parametrize("model", ["no/such:model", "nö", "a b"])
def test_unknown_model_is_not_found(client: openai.OpenAI, model: str) -> None:
    """An id that the service does not know is 404 with OpenAI's code, wherever it stands."""
    with pytest.raises(openai.NotFoundError) as found:
        client.models.retrieve(model)
    assert found.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError) as found:
        chat(client, model=model)
    assert (found.value.code, found.value.param) == ("model_not_found", "model")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("parameters", "param"),
    [
        ({"temperature": 3}, "temperature"),
        ({"max_completion_tokens": 0, "max_tokens": openai.omit}, "max_completion_tokens"),
        ({"n": 99}, "n"),
        ({"extra_body": {"suffix": "x"}}, "suffix"),
        ({"extra_body": {"made_up": 1}}, "made_up"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"extra_body": {"seed": "7"}}, "seed"),
        ({"logit_bias": {"x": 101}}, "logit_bias[x]"),
        ({"messages": []}, "messages"),
        ({"stop": ["a"] * 5}, "stop"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(
    client: openai.OpenAI, parameters: dict[str, Any], param: str, *, stream: bool
) -> None:
    """A bad parameter is 400 with its name, whether JSON or events were asked for."""
    with pytest.raises(openai.BadRequestError) as found:
        chat(client, **parameters, stream=stream)
    assert found.value.param == param
    assert found.value.type == "invalid_request_error"


def test_prompt_beyond_the_context_says_so(client: openai.OpenAI) -> None:
    """A prompt that is too long has OpenAI's code."""
    with pytest.raises(openai.BadRequestError) as found:
        chat(client, messages=[{"role": "user", "content": "x" * 5000}])
    assert (found.value.code, found.value.param) == ("context_length_exceeded", "messages")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/nothing", 404), ("GET", "/v1/chat/completions", 405), ("PUT", "/v1/completions", 405)],
)
def test_envoys_own_errors_are_openais(http: httpx.Client, method: str, path: str, status: int) -> None:
    """What never reaches the service has the same envelope."""
    answer = http.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_too_large_body_is_openais_error(http: httpx.Client) -> None:
    """A body beyond the limit is 413 in OpenAI's envelope."""
    answer = http.post("/v1/chat/completions", content=b"x" * (5 << 20))
    assert answer.status_code == 413
    assert answer.json()["error"]["message"]


def test_request_id_comes_back(http: httpx.Client) -> None:
    """OpenAI's client shows the response's x-request-id in its errors."""
    answer = http.post("/v1/chat/completions", json={}, headers={"x-request-id": "abc"})
    assert answer.headers["x-request-id"] == "abc"
    assert "x-error-type" not in answer.headers


def test_stream_that_breaks_ends_with_an_error(model_directory: Path, tmp_path: Path) -> None:
    """Where the model's process dies under a stream, the client raises what the last event says."""
    with run_service(tmp_path, model_directory, LLM_ALLOWED_MODELS="tiny=tiny.gguf", LLM_THREADS="1") as running:
        client = openai.OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0, timeout=60)
        chunks = chat(client, stream=True, max_tokens=1900)
        next(chunks)
        os.kill(running.worker_pid(), signal.SIGKILL)
        with pytest.raises(openai.APIError, match="process ended") as found:
            list(chunks)
    assert found.value.code == "worker_died"


def test_client_comes_back_by_itself_when_the_queue_is_full(model_directory: Path, tmp_path: Path) -> None:
    """A 429 is RateLimitError for a client that may not retry, and an answer for one that may."""
    variables = {
        "LLM_ALLOWED_MODELS": "tiny=tiny.gguf",
        "LLM_MAX_CONCURRENT_REQUESTS": "1",
        "LLM_MAX_QUEUED_REQUESTS": "0",
    }
    with (
        run_service(tmp_path, model_directory, **variables) as service,
        openai.OpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0) as client,
    ):
        chat(client)
        with ThreadPoolExecutor() as pool:
            with service.stopped_worker():  # Before it has the request: it could be done by the time that it stops.
                first = pool.submit(chat, client)
                service.wait_for_metric("rpcs_in_flight", 1)
                with pytest.raises(openai.RateLimitError):
                    chat(client)
                patient = pool.submit(chat, client.with_options(max_retries=30))
                wait_until(lambda: service.metric("rejected_total") >= 2)
            assert first.result().choices
            assert patient.result().choices
