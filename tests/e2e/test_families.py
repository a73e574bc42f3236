"""A conversation with a tool and thoughts in the forms of several families, over all wires."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import openai
import pytest

from llm_inference.v1 import inference_pb2, tools_pb2
from tests.e2e.service import RunningService, inference, run_service
from tests.fakes.scripted_model import write_scripted_model

QUESTION, RESULT = "What is the weather in Paris?", '{"condition": "sunny"}'
FIRST, SECOND, ANSWER = "I need the weather.", "It says sunny.", "It is sunny in Paris."
ARGUMENTS = {"city": "Paris"}
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TEMPLATE = """
{%- if tools %}<|system|>Functions:{% for tool in tools %}
{{ tool | tojson }}{% endfor %}<|end|>{% endif %}
{%- for message in messages %}
    {%- if message.role == 'assistant' %}
        {{- '<|assistant|>' }}
        {%- if message.reasoning_content %}{{ 'THINK' + message.reasoning_content + 'THOUGHT' }}{% endif %}
        {{- message.content }}
        {%- for call in message.tool_calls %}CALL{% endfor %}
        {{- '<|end|>' }}
    {%- elif message.role == 'tool' %}
        {{- '<|tool|>' + message.content + '<|end|>' }}
    {%- else %}
        {{- '<|' + message.role + '|>' + message.content + '<|end|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|assistant|>' }}OPENED{% endif %}"""
"""The words in capitals are a family's."""


@dataclass(frozen=True)
class Spoken:
    """How a family writes."""

    name: str
    call: str
    """Jinja of a call."""
    written: tuple[str, ...]
    """Tokens of the call of the conversation, but for those that the mask leaves no choice of."""
    think: str = "<think>"
    thought: str = "</think>"
    special: tuple[str, ...] = ()
    """Markers of calls."""
    opened: bool = field(default=False)
    """Whether the template opens the thoughts."""

    @property
    def template(self) -> str:
        """The chat template."""
        words = {"'THINK'": repr(self.think), "'THOUGHT'": repr(self.thought), "CALL": self.call}
        found = TEMPLATE.replace("OPENED", self.think if self.opened else "")
        for word, text in words.items():
            found = found.replace(word, text)
        return found


SPOKEN = (
    Spoken(
        "json",
        '<tool_call>\n{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}\n'
        "</tool_call>",
        ("<tool_call>", "Paris", '"}}\n', "</tool_call>"),
        special=("<tool_call>", "</tool_call>"),
    ),
    Spoken(
        "brackets",
        "[TOOL_CALLS]{{ call.function.name }}[ARGS]{{ call.function.arguments | tojson }}",
        ("[TOOL_CALLS]", "Paris", '"}'),
        "[THINK]",
        "[/THINK]",
        ("[TOOL_CALLS]", "[ARGS]"),
    ),
    Spoken(
        "tags",
        "<tool_call>\n<function={{ call.function.name }}>\n{% for name, value in call.function.arguments | items %}"
        "<parameter={{ name }}>\n{{ value if value is string else value | tojson }}\n</parameter>\n{% endfor %}"
        "</function>\n</tool_call>",
        ("<tool_call>", "Paris", "\n</parameter>\n", "</function>\n", "</tool_call>"),
        special=("<tool_call>", "</tool_call>"),
        opened=True,
    ),
)
FUNCTION = {"name": "get_weather", "description": "Gets the weather.", "parameters": PARAMETERS}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service with a model for each form."""
    directory = tmp_path_factory.mktemp("families")
    for spoken in SPOKEN:
        write_model(directory / f"{spoken.name}.gguf", spoken)
    allowed = ",".join(f"{spoken.name}={spoken.name}.gguf" for spoken in SPOKEN)
    preloaded = ",".join(spoken.name for spoken in SPOKEN)
    with run_service(directory, directory, LLM_ALLOWED_MODELS=allowed, LLM_PRELOAD_MODELS=preloaded) as running:
        yield running


def write_model(path: Path, spoken: Spoken) -> None:
    """Writes a model that thinks and calls, and thinks and answers once it has the result."""
    begun = () if spoken.opened else (spoken.think,)
    roles = ("<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>")
    write_scripted_model(
        path,
        template=spoken.template,
        start=spoken.think if spoken.opened else "<|assistant|>",
        end="<|end|>",
        otherwise="Paris",
        special=(*roles, spoken.think, spoken.thought, *spoken.special),
        scripts=(
            (*begun, *FIRST.partition(" the"), spoken.thought, *spoken.written),
            (*begun, SECOND, spoken.thought, *ANSWER.partition(" sunny")),
        ),
        sign="<|tool|>",
    )


@pytest.fixture
def client(service: RunningService) -> Iterator[openai.OpenAI]:
    """OpenAI's client, which does not retry."""
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client


@pytest.fixture(params=["address", "through_envoy"])
def stub(service: RunningService, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The typed API, directly and through Envoy."""
    with grpc.insecure_channel(getattr(service, request.param)) as channel:
        yield inference(channel)


def fields(spoken: Spoken) -> Any:
    return {"model": spoken.name, "temperature": 0, "tools": [{"type": "function", "function": FUNCTION}]}


ALL = pytest.mark.parametrize("spoken", SPOKEN, ids=lambda spoken: spoken.name)


@ALL
def test_over_openais_api(client: openai.OpenAI, spoken: Spoken) -> None:
    """The model thinks and calls; given the result, it thinks and answers."""
    messages: Any = [{"role": "user", "content": QUESTION}]
    first = client.chat.completions.create(messages=messages, **fields(spoken)).choices[0]
    (call,) = first.message.tool_calls
    assert first.finish_reason == "tool_calls"
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", ARGUMENTS)
    assert (first.message.reasoning_content, first.message.content) == (FIRST, None)
    messages += [first.message, {"role": "tool", "tool_call_id": call.id, "content": RESULT}]
    second = client.chat.completions.create(messages=messages, **fields(spoken)).choices[0]
    assert second.finish_reason == "stop"
    assert (second.message.reasoning_content, second.message.content) == (SECOND, ANSWER)


@ALL
def test_over_openais_api_as_streams(client: openai.OpenAI, spoken: Spoken) -> None:
    """The deltas of both answers add up to the same."""
    messages: Any = [{"role": "user", "content": QUESTION}]
    first = added_up(client.chat.completions.create(messages=messages, stream=True, **fields(spoken)))
    assert json.loads(first["arguments"]) == ARGUMENTS
    assert (first["name"], first["reasoning_content"], first["content"]) == ("get_weather", FIRST, "")
    function = {"name": first["name"], "arguments": first["arguments"]}
    said = {"role": "assistant", "reasoning_content": FIRST}
    said |= {"tool_calls": [{"id": first["id"], "type": "function", "function": function}]}
    messages += [said, {"role": "tool", "tool_call_id": first["id"], "content": RESULT}]
    second = added_up(client.chat.completions.create(messages=messages, stream=True, **fields(spoken)))
    assert (second["reasoning_content"], second["content"], second["name"]) == (SECOND, ANSWER, "")


def added_up(stream: Any) -> dict[str, str]:
    """Returns the texts of a stream's deltas, with those of its call."""
    found = dict.fromkeys(("content", "reasoning_content", "id", "name", "arguments"), "")
    for chunk in stream:
        for choice in chunk.choices:
            for name in ("content", "reasoning_content"):
                found[name] += getattr(choice.delta, name, None) or ""
            for call in choice.delta.tool_calls or ():
                found["id"] += call.id or ""
                found["name"] += call.function.name or ""
                found["arguments"] += call.function.arguments or ""
    return found


@ALL
def test_over_grpc(stub: Any, spoken: Spoken) -> None:
    """The typed API has thoughts and call in a message, which goes back as it is."""
    request = typed(spoken)
    first = stub.Chat(request).message
    (call,) = first.tool_calls
    assert (call.name, json.loads(call.arguments)) == ("get_weather", ARGUMENTS)
    assert (first.reasoning_content, first.content) == (FIRST, "")
    request.messages.append(first)
    request.messages.add(role="tool", tool_call_id=call.id, content=RESULT)
    second = stub.Chat(request).message
    assert (second.reasoning_content, second.content) == (SECOND, ANSWER)


@ALL
def test_over_grpc_as_streams(stub: Any, spoken: Spoken) -> None:
    """The typed deltas add up to the same."""
    request = typed(spoken)
    first = joined(stub.ChatStream(request))
    (call,) = first.tool_calls
    assert (call.name, json.loads(call.arguments)) == ("get_weather", ARGUMENTS)
    assert (first.reasoning_content, first.content) == (FIRST, "")
    request.messages.append(first)
    request.messages.add(role="tool", tool_call_id=call.id, content=RESULT)
    second = joined(stub.ChatStream(request))
    assert (second.reasoning_content, second.content) == (SECOND, ANSWER)


def typed(spoken: Spoken) -> inference_pb2.ChatRequest:
    tool = tools_pb2.Tool(name="get_weather", description=FUNCTION["description"], parameters=json.dumps(PARAMETERS))
    request = inference_pb2.ChatRequest(model=spoken.name, tools=[tool], temperature=0)
    request.messages.add(role="user", content=QUESTION)
    return request


def joined(stream: Any) -> inference_pb2.ChatMessage:
    """Returns the message that a stream's deltas add up to."""
    found = inference_pb2.ChatMessage(role="assistant")
    for response in stream:
        match response.delta.WhichOneof("piece"):
            case "content":
                found.content += response.delta.content
            case "reasoning_content":
                found.reasoning_content += response.delta.reasoning_content
            case "tool_call" if response.delta.tool_call.id:
                given = response.delta.tool_call
                found.tool_calls.add(id=given.id, name=given.name, arguments=given.arguments)
            case "tool_call":
                found.tool_calls[-1].arguments += response.delta.tool_call.arguments
    return found
