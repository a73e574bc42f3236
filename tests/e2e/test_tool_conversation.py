"""A whole conversation with a tool, through the demo model: the call, its result, the answer in words."""

import json
from collections.abc import Iterator
from typing import Any

import grpc
import openai
import pytest

from llm_inference.v1 import inference_pb2, tools_pb2
from tests.e2e.service import RunningService, inference

QUESTION = "What is the weather in Paris?"
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
ABOUT = "Get the weather of a city"
RESULT = json.dumps({"city": "Paris", "temperature": 21, "condition": "sunny"})
ANSWER = "It is sunny in Paris, with 21 degrees."


@pytest.fixture
def client(demo: RunningService) -> Iterator[openai.OpenAI]:
    """OpenAI's client, which does not retry."""
    with openai.OpenAI(base_url=f"{demo.url}/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client


@pytest.fixture(params=["address", "through_envoy"])
def stub(demo: RunningService, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The typed API, directly and through Envoy."""
    with grpc.insecure_channel(getattr(demo, request.param)) as channel:
        yield inference(channel)


FUNCTION = {"name": "get_weather", "description": ABOUT, "parameters": PARAMETERS}
FIELDS: Any = {"model": "demo", "temperature": 0, "tools": [{"type": "function", "function": FUNCTION}]}


def test_over_openais_api(client: openai.OpenAI) -> None:
    """The real client's loop: the model asks for the tool, gets its result and says what it means."""
    messages: Any = [{"role": "user", "content": QUESTION}]
    first = client.chat.completions.create(messages=messages, **FIELDS).choices[0]
    assert first.finish_reason == "tool_calls"
    (call,) = first.message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"city": "Paris"})
    messages += [first.message, {"role": "tool", "tool_call_id": call.id, "content": RESULT}]
    second = client.chat.completions.create(messages=messages, **FIELDS).choices[0]
    assert (second.finish_reason, second.message.content) == ("stop", ANSWER)


def test_over_openais_api_as_streams(client: openai.OpenAI) -> None:
    """The deltas of both answers add up to the same."""
    messages: Any = [{"role": "user", "content": QUESTION}]
    with client.chat.completions.stream(messages=messages, **FIELDS) as stream:
        (call,) = stream.get_final_completion().choices[0].message.tool_calls
    assert json.loads(call.function.arguments) == {"city": "Paris"}
    function = {"name": call.function.name, "arguments": call.function.arguments}
    said = {"role": "assistant", "tool_calls": [{"id": call.id, "type": "function", "function": function}]}
    messages += [said, {"role": "tool", "tool_call_id": call.id, "content": RESULT}]
    with client.chat.completions.stream(messages=messages, **FIELDS) as stream:
        assert stream.get_final_completion().choices[0].message.content == ANSWER


def test_over_grpc(stub: Any) -> None:
    """The typed API has the call as a message of its own."""
    tool = tools_pb2.Tool(name="get_weather", description=ABOUT, parameters=json.dumps(PARAMETERS))
    request = inference_pb2.ChatRequest(tools=[tool], temperature=0)
    request.messages.add(role="user", content=QUESTION)
    first = stub.Chat(request)
    (call,) = first.message.tool_calls
    assert (call.name, json.loads(call.arguments)) == ("get_weather", {"city": "Paris"})
    request.messages.append(first.message)
    request.messages.add(role="tool", tool_call_id=call.id, content=RESULT)
    assert stub.Chat(request).message.content == ANSWER
