"""OpenAI's Responses API with OpenAI's own client, through Envoy."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import openai
import pytest
from google.api.httpbody_pb2 import HttpBody
from openai.types.responses import ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

from llm_inference.v1 import responses_pb2, responses_pb2_grpc
from tests.e2e.secured import run_secured
from tests.e2e.service import RunningService

WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "description": "Says it",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"city": {"enum": ["Rome", "Oslo"]}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
SUNNY = "sunny"
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


class Animal(BaseModel):
    """What a response is parsed to."""

    ok: bool


@pytest.fixture
def client(service: RunningService) -> Iterator[openai.OpenAI]:
    """OpenAI's client, which does not retry."""
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client


def respond(client: openai.OpenAI, **fields: Any) -> Any:
    """Returns a response of a few tokens."""
    extra = {"seed": 3, "ignore_eos": "tools" not in fields and "text" not in fields}
    asked = {"model": "tiny", "input": "hello", "max_output_tokens": 8, "extra_body": extra}
    return client.responses.create(**{**asked, **fields})


def called(client: openai.OpenAI, **fields: Any) -> Any:
    """Returns a response that is a call."""
    asked = {"tools": [WEATHER], "tool_choice": "required", "parallel_tool_calls": False, "max_output_tokens": 400}
    return respond(client, **{**asked, **fields})


def test_response_is_that_of_the_chat(client: openai.OpenAI) -> None:
    """The same model, prompt and sampling."""
    found = respond(client, temperature=0, instructions="Be brief.")
    said: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}]
    extra = {"ignore_eos": True}
    chat = client.chat.completions.create(model="tiny", messages=said, max_tokens=8, temperature=0, extra_body=extra)
    assert chat.usage is not None
    assert found.output_text == chat.choices[0].message.content
    assert found.usage.input_tokens == chat.usage.prompt_tokens
    assert (found.status, found.incomplete_details.reason) == ("incomplete", "max_output_tokens")


def test_stream_adds_up_to_the_whole_response(client: openai.OpenAI) -> None:
    """The deltas are the text, and the last event has the response."""
    events = list(respond(client, stream=True, temperature=0))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[0].type == "response.created"
    assert events[-1].response.output_text == text == respond(client, temperature=0).output_text


def test_stream_is_named_events_without_done(http: httpx.Client) -> None:
    """Each event's name is its type, which OpenAI's client has; the last one ends the stream."""
    body = {"model": "tiny", "input": "hello", "max_output_tokens": 2, "top_logprobs": 1, "stream": True}
    answer = http.post("/v1/responses", json=body)
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["cache-control"] == "no-cache"
    frames = [frame for frame in answer.text.strip().split("\n\n") if not frame.startswith(":")]
    for frame in frames:
        name, _, data = frame.partition("\ndata: ")
        assert name == f"event: {EVENT.validate_json(data, strict=True).type}"
    assert frames[-1].startswith(("event: response.completed\n", "event: response.incomplete\n"))


def test_parsed_response_is_an_object(client: openai.OpenAI) -> None:
    """Whole and streamed, whatever a model of random weights writes; and it may be sent again as it is."""
    asked: Any = {"model": "tiny", "input": "hello", "text_format": Animal, "max_output_tokens": 400}
    parsed = client.responses.parse(**asked)
    assert isinstance(parsed.output_parsed, Animal)
    respond(client, input=[{"role": "user", "content": "hello"}, *parsed.output])
    with client.responses.stream(**asked) as stream:
        stream.until_done()
        assert isinstance(stream.get_final_response().output_parsed, Animal)


def test_conversation_goes_on_from_a_stored_response(client: openai.OpenAI) -> None:
    """The prompt is that of the whole conversation, sent again; instructions are not carried over."""
    first = respond(client, instructions="Be brief.")
    second = respond(client, previous_response_id=first.id, input="and you?", temperature=0)
    said = [{"role": "user", "content": "hello"}, *first.output, {"role": "user", "content": "and you?"}]
    again = respond(client, input=said, temperature=0)
    assert second.previous_response_id == first.id
    assert second.output_text == again.output_text
    assert second.usage.input_tokens == again.usage.input_tokens


def test_streamed_response_is_stored_when_it_ends(client: openai.OpenAI) -> None:
    """Its last event comes after that."""
    *_, last = respond(client, stream=True)
    assert client.responses.retrieve(last.response.id).output_text == last.response.output_text


def test_tool_loop_by_the_id_of_the_call(client: openai.OpenAI) -> None:
    """A forced call, its result, and the text that follows it."""
    first = called(client)
    (call,) = first.output
    assert json.loads(call.arguments)["city"] in ("Rome", "Oslo")
    output = {"type": "function_call_output", "call_id": call.call_id, "output": SUNNY}
    second = called(client, input=[output], previous_response_id=first.id, tool_choice="none", max_output_tokens=4)
    assert second.output[0].type == "message"


def test_items_are_referred_to_by_their_ids(client: openai.OpenAI) -> None:
    """As the AI SDK does, with the same prompt as the items themselves."""
    user = {"role": "user", "content": "hello"}
    (call,) = called(client).output
    output = {"type": "function_call_output", "call_id": call.call_id, "output": SUNNY}
    fields: Any = {"tool_choice": "auto", "max_output_tokens": 4}
    referred = called(client, input=[user, {"type": "item_reference", "id": call.id}, output], **fields)
    sent = called(client, input=[user, call, output], **fields)
    assert referred.usage.input_tokens == sent.usage.input_tokens


def test_stored_response_is_listed_and_deleted(client: openai.OpenAI) -> None:
    """It is what was answered; its input items have ids; after its end it is unknown."""
    made = respond(client)
    assert client.responses.retrieve(made.id) == made
    (item,) = client.responses.input_items.list(made.id).data
    assert item.to_dict()["content"] == [{"type": "input_text", "text": "hello"}]
    client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError) as found:
        client.responses.retrieve(made.id)
    assert found.value.code == "response_not_found"


def test_response_that_is_not_to_be_stored_is_not(client: openai.OpenAI) -> None:
    """And says so."""
    made = respond(client, store=False)
    assert made.to_dict()["store"] is False
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)


def test_unknown_previous_response_is_refused(client: openai.OpenAI) -> None:
    """With OpenAI's code."""
    with pytest.raises(openai.BadRequestError) as found:
        respond(client, previous_response_id="resp_none")
    assert (found.value.param, found.value.code) == ("previous_response_id", "previous_response_not_found")


def test_ended_response_cannot_be_cancelled(client: openai.OpenAI) -> None:
    """None runs in the background."""
    with pytest.raises(openai.BadRequestError, match="has ended"):
        client.responses.cancel(respond(client).id)
    with pytest.raises(openai.NotFoundError):
        client.responses.cancel("resp_none")


def test_tokens_of_an_input_are_those_of_the_response(client: openai.OpenAI) -> None:
    """Counted without computing any."""
    counted = client.responses.input_tokens.count(model="tiny", input="hello", instructions="Be brief.")
    assert counted.input_tokens == respond(client, instructions="Be brief.").usage.input_tokens


def test_oldest_turns_are_dropped_where_the_caller_wants_it(client: openai.OpenAI) -> None:
    """Else the conversation is too long."""
    said = [{"role": "user", "content": "x" * 600} for _ in range(20)]
    with pytest.raises(openai.BadRequestError) as found:
        respond(client, input=said)
    assert (found.value.param, found.value.code) == ("input", "context_length_exceeded")
    cut = respond(client, input=said, truncation="auto", instructions="Be brief.")
    assert cut.usage.output_tokens == 8


def test_failure_after_the_beginning_is_a_failed_response(client: openai.OpenAI) -> None:
    """The last event has the error and the next number; a failure before it is a status."""
    events = list(respond(client, model="nan.gguf", stream=True))
    assert events[-1].type == "response.failed"
    assert events[-1].response.error.code == "server_error"
    assert events[-1].sequence_number == len(events) - 1
    with pytest.raises(openai.InternalServerError):
        respond(client, model="nan.gguf")


@pytest.mark.parametrize(
    ("verb", "path", "status", "allowed"),
    [
        ("GET", "/v1/responses", 405, "POST, OPTIONS"),
        ("GET", "/v1/responses/resp_1/cancel", 405, "POST, OPTIONS"),
        ("POST", "/v1/responses/resp_1/input_items", 405, "GET, HEAD, OPTIONS"),
        ("PUT", "/v1/responses/resp_1", 405, "GET, DELETE, HEAD, OPTIONS"),
        ("OPTIONS", "/v1/responses/resp_1", 204, "GET, DELETE, HEAD, OPTIONS"),
    ],
)
def test_other_methods_are_refused(http: httpx.Client, verb: str, path: str, status: int, allowed: str) -> None:
    """With those that there are."""
    answer = http.request(verb, path)
    assert answer.status_code == status
    assert answer.headers["allow"] == allowed


def test_response_over_grpc_is_the_same_bytes(channel: grpc.Channel) -> None:
    """By HttpBody."""
    body = HttpBody(data=json.dumps({"model": "tiny", "input": "hello", "max_output_tokens": 2}).encode())
    stub = responses_pb2_grpc.ResponsesServiceStub(channel)
    parts = [part.http_body.data for part in stub.CreateResponse(responses_pb2.CreateResponseRequest(http_body=body))]
    made = json.loads(b"".join(parts))
    kept = stub.GetResponse(responses_pb2.GetResponseRequest(response_id=made["id"]))
    assert json.loads(b"".join(part.http_body.data for part in kept)) == made


def test_responses_of_a_file_survive_a_restart_and_are_their_callers(tmp_path: Path, model_directory: Path) -> None:
    """Another key does not find them."""
    keys = {"ann": "first-key-of-ann", "bob": "other-key-of-bob"}
    listed = ",".join(f"{name}:{key}" for name, key in keys.items())
    made = ""
    for _ in range(2):
        variables = {"LLM_RESPONSE_STORE": str(tmp_path / "responses"), "LLM_API_KEYS": listed}
        with run_secured(tmp_path, model_directory, **variables) as running:
            ann, bob = (openai.OpenAI(base_url=f"{running.url}/v1", api_key=key) for key in keys.values())
            with ann, bob:
                made = made or respond(ann).id
                assert ann.responses.retrieve(made).id == made
                with pytest.raises(openai.NotFoundError):
                    bob.responses.retrieve(made)
            assert running.stop() == 0
