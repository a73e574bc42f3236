"""Schemas of tools and answers as clients send them, through all wires, with a model of random weights."""

import json
from typing import Any

import grpc
import httpx
import pytest

from llm_inference.v1 import inference_pb2, tools_pb2
from tests.e2e.service import as_dict, inference
from tests.e2e.sse import read

DECIMAL = r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$"
"""What pydantic writes for a Decimal; it looks ahead."""
SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string", "pattern": DECIMAL, "maxLength": 3}, "b": {"enum": ["x", "y"]}},
    "required": ["a", "b"],
}
NATIVE = {
    "model": "tiny",
    "messages": [{"role": "user", "content": "hi"}],
    "tools": [{"name": "f", "parameters": json.dumps(SCHEMA)}],
    "tool_choice": {"function": "f"},
    "max_tokens": 300,
}
NAME = "tools[0].parameters.properties.a.pattern"


def openai(http: httpx.Client, parameters: Any, **fields: Any) -> httpx.Response:
    """Returns the response to a chat that must call a tool with this schema."""
    function = {"name": "f", "parameters": parameters}
    body = {
        "model": "tiny",
        "messages": NATIVE["messages"],
        "tools": [{"type": "function", "function": function}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "max_tokens": 300,
    }
    return http.post("/v1/chat/completions", json={**body, **fields})


@pytest.mark.parametrize(
    "parameters", [{}, {"title": "t", "maxProperties": 0}, {"type": ["object", "null"], "maxProperties": 0}]
)
def test_forced_call_is_a_call(http: httpx.Client, parameters: dict[str, Any]) -> None:
    """A schema that allows more than objects makes no call that is none, and a named tool is called once."""
    choice = openai(http, {**parameters, "maxProperties": 0}).json()["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert [call["function"]["arguments"] for call in choice["message"]["tool_calls"]] == ["{}"]


def test_schema_without_objects_is_refused_by_its_name(http: httpx.Client) -> None:
    """The error has the name of what was sent."""
    response = openai(http, {"type": "string"})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "tools[0].function.parameters"


def test_openai_names_the_keyword_that_is_not_followed(http: httpx.Client) -> None:
    """All other keywords hold."""
    answer = openai(http, SCHEMA).json()
    assert answer["ignored_keywords"] == ["tools[0].function.parameters.properties.a.pattern"]
    (call,) = answer["choices"][0]["message"]["tool_calls"]
    arguments = json.loads(call["function"]["arguments"])
    assert (set(arguments), arguments["b"] in ("x", "y"), len(arguments["a"]) <= 3) == ({"a", "b"}, True, True)


def test_openais_stream_names_the_keyword_in_its_end(http: httpx.Client) -> None:
    """The chunk with the finish reason has it, and no other."""
    events = openai(http, SCHEMA, stream=True).text.split("\n\n")
    chunks = [json.loads(event.removeprefix("data: ")) for event in events if event.startswith("data: {")]
    named = [chunk for chunk in chunks if "ignored_keywords" in chunk]
    assert [chunk["choices"][0]["finish_reason"] for chunk in named] == ["tool_calls"]


def test_rest_names_the_keyword_that_is_not_followed(http: httpx.Client) -> None:
    """Whole and streamed."""
    assert http.post("/api/chat", json=NATIVE).json()["ignored_keywords"] == {"names": [NAME]}
    messages = read(http, "/api/chat/stream", NATIVE)
    named = [message["ignored_keywords"] for message in messages if "ignored_keywords" in message]
    assert named == [{"names": [NAME]}]


def test_grpc_names_the_keyword_that_is_not_followed(channel: grpc.Channel) -> None:
    """The typed message has it."""
    tool = tools_pb2.Tool(name="f", parameters=json.dumps(SCHEMA))
    request = inference_pb2.ChatRequest(model="tiny", tools=[tool], max_tokens=300)
    request.messages.add(role="user", content="hi")
    request.tool_choice.function = "f"
    assert as_dict(inference(channel).Chat(request))["ignored_keywords"] == {"names": [NAME]}


@pytest.mark.parametrize("keyword", ["maximum", "enum", "const", "default"])
def test_number_beyond_64_bits_is_no_internal_error(http: httpx.Client, keyword: str) -> None:
    """In a tool it is followed or left out by name; in a response's format it is followed or refused by name."""
    huge = 2**256 - 1
    inner = {"type": "integer", "minimum": 0, keyword: [huge] if keyword == "enum" else huge}
    answer = openai(http, {"properties": {"n": inner}}).json()
    assert bool(answer.get("ignored_keywords")) is (keyword in ("enum", "const"))
    body = {"model": "tiny", "messages": NATIVE["messages"], "max_tokens": 5, "guided_json": inner}
    status = http.post("/v1/chat/completions", json=body).status_code
    assert status == (400 if keyword in ("enum", "const") else 200)


@pytest.mark.parametrize("arguments", ['{"city": "', '{"city": "Rome", "da', "", None])
def test_call_that_was_cut_can_be_sent_back(http: httpx.Client, arguments: str | None) -> None:
    """The conversation goes on after an answer that reached its limit."""
    function = {"name": "f", "arguments": arguments}
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "tool_calls": [{"id": "123456789", "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": "123456789", "content": "no"},
    ]
    body = {"model": "tiny", "messages": messages, "max_tokens": 2}
    assert http.post("/v1/chat/completions", json=body).status_code == 200


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"response_format": {"type": "json_object", "schema": {"maxProperties": 0}}}, "{}"),
        ({"grammar": 'root ::= "a" [b]{2}'}, "abb"),
        ({"guided_choice": ["only"]}, "only"),
        ({"structured_outputs": {"json": {"const": {"a": [1, 2]}}}}, '{"a":[1,2]}'),
    ],
)
def test_other_servers_names_restrict_the_answer(
    http: httpx.Client, path: str, fields: dict[str, Any], text: str
) -> None:
    """Chats and completions take what clients of other servers send."""
    asked = {"prompt": "hi"} if path == "/v1/completions" else {"messages": NATIVE["messages"]}
    choice = http.post(path, json={"model": "tiny", **asked, **fields}).json()["choices"][0]
    assert choice.get("text", choice.get("message", {}).get("content")) == text


def test_gbnf_grammar_is_followed(http: httpx.Client) -> None:
    """The typed API has llama.cpp's grammars too."""
    answer = http.post("/api/generate", json={"model": "tiny", "prompt": "hi", "gbnf": 'root ::= "yes"'}).json()
    assert (answer["text"], answer["finish_reason"]) == ("yes", "STOP")
