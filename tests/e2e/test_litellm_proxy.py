"""LiteLLM's proxy in front of the service: it speaks to it as each of its providers, whatever its client speaks.

The demo model calls its tool and answers, and a scripted one thinks, so that texts are known.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import openai
import pytest

from tests.e2e import programs
from tests.e2e.service import RunningService, run_service
from tests.e2e.test_thinking import ANSWER, THOUGHTS, write_thinker
from tests.fakes.gguf import write_tiny_encoder
from tests.fakes.ports import free_port

anthropic: Any = pytest.importorskip("anthropic", reason="the extra `clients` is not installed")

LITELLM = programs.program("litellm", "litellm")
KEY = "sk-0123456789abcdef0123456789abcdef"

pytestmark = programs.needs(LITELLM, "`make clients` installs LiteLLM's proxy")

QUESTION = "What is the weather in Paris?"
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "Name of the city."}},
    "required": ["city"],
}
FUNCTION = {"name": "get_weather", "description": "Get the weather of a city.", "parameters": SCHEMA}
RESULT = json.dumps({"city": "Paris", "temperature": 21, "condition": "sunny"})
SUNNY = "It is sunny in Paris, with 21 degrees."
PARIS = {"city": "Paris"}

WIRES = {
    "chats": ("openai/", "CreateChatCompletion"),
    "responses": ("openai/responses/", "CreateResponse"),
    "messages": ("anthropic/", "CreateMessage"),
    "vllm": ("hosted_vllm/", "CreateChatCompletion"),
    "ollama": ("ollama_chat/", "OllamaChat"),
}
"""LiteLLM's providers, by the prefix of a model, and what they ask for a chat."""
EACH_WIRE = pytest.mark.parametrize("wire", WIRES)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service with a model that calls tools, one that thinks, and one that ranks."""
    directory = tmp_path_factory.mktemp("litellm")
    write_thinker(directory / "thinker.gguf")
    write_tiny_encoder(directory / "ranker.gguf", pooling=None, head=True)
    variables = {
        "LLM_ALLOWED_MODELS": "demo,thinker=thinker.gguf,ranker=ranker.gguf",
        "LLM_PRELOAD_MODELS": "demo",
        "LLM_OLLAMA_PORT": str(free_port()),
    }
    with run_service(directory, directory, **variables) as running:
        yield running


@pytest.fixture(scope="module")
def proxy(service: RunningService, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """The proxy, with the models by each wire."""
    home = tmp_path_factory.mktemp("proxy")
    addresses = {"messages": service.url, "ollama": service.ollama_url}

    def model(name: str, path: str, address: str) -> dict[str, Any]:
        return {"model_name": name, "litellm_params": {"model": path, "api_base": address, "api_key": "none"}}

    models = [
        model(f"{id_}-{wire}", prefix + id_, addresses.get(wire, f"{service.url}/v1"))
        for wire, (prefix, _) in WIRES.items()
        for id_ in ("demo", "thinker")
    ]
    models += [model("ranker-vllm", "hosted_vllm/ranker", f"{service.url}/v1")]
    models += [model("ranker-jina", "jina_ai/ranker", service.url)]
    (home / "config.yaml").write_text(json.dumps({"model_list": models}))
    port = free_port()
    command = [str(LITELLM), "--config", "config.yaml", "--host", "127.0.0.1", "--port", str(port)]
    # It would ask the network for prices.
    variables = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MASTER_KEY": KEY}
    url = f"http://127.0.0.1:{port}"
    command += ["--telemetry", "False"]
    with programs.running(command, home, url, ready="/health/liveliness", variables=variables) as client:
        yield client


@pytest.fixture
def chats(proxy: httpx.Client) -> Iterator[openai.OpenAI]:
    """OpenAI's client of the proxy."""
    with openai.OpenAI(base_url=f"{proxy.base_url}/v1", api_key=KEY, max_retries=0, timeout=100) as client:
        yield client


@pytest.fixture
def messages(proxy: httpx.Client) -> Iterator[Any]:
    """Anthropic's client of the proxy."""
    with anthropic.Anthropic(base_url=str(proxy.base_url), api_key=KEY, max_retries=0, timeout=100) as client:
        yield client


@contextmanager
def asks(service: RunningService, *methods: str) -> Iterator[None]:
    """Checks that the block asks the service by these methods."""
    before = len(service.log())
    yield
    lines = [json.loads(line) for line in service.log()[before:].splitlines()]
    ended = [line for line in lines if "rpc.method" in line and "code" in line]  # Loads have the method alone.
    assert [line["rpc.method"].rpartition("/")[2] for line in ended] == [*methods]


@EACH_WIRE
def test_client_of_chats_calls_a_tool(service: RunningService, chats: openai.OpenAI, wire: str) -> None:
    """And gives its result back."""
    said: list[Any] = [{"role": "user", "content": QUESTION}]
    fields: Any = {"tools": [{"type": "function", "function": FUNCTION}], "temperature": 0, "max_tokens": 100}
    method = WIRES[wire][1]
    with asks(service, method, method):
        first = chats.chat.completions.create(model=f"demo-{wire}", messages=said, **fields).choices[0]
        (call,) = first.message.tool_calls or ()
        said += [first.message.model_dump(exclude_none=True)]
        said += [{"role": "tool", "tool_call_id": call.id, "content": RESULT}]
        second = chats.chat.completions.create(model=f"demo-{wire}", messages=said, **fields)
    assert (first.finish_reason, json.loads(call.function.arguments)) == ("tool_calls", PARIS)  # type: ignore[union-attr]
    assert second.choices[0].message.content == SUNNY
    assert second.usage is not None
    assert second.usage.completion_tokens > 0


@EACH_WIRE
def test_client_of_chats_streams(service: RunningService, chats: openai.OpenAI, wire: str) -> None:
    """A text, with the usage, and a call."""
    options: Any = {"stream": True, "stream_options": {"include_usage": True}, "temperature": 0, "max_tokens": 100}
    tools: Any = [{"type": "function", "function": FUNCTION}]
    with asks(service, WIRES[wire][1], WIRES[wire][1]):
        sums = [*chats.chat.completions.create(model=f"demo-{wire}", messages=user("What is 2+2?"), **options)]
        calls = [*chats.chat.completions.create(model=f"demo-{wire}", messages=user(QUESTION), tools=tools, **options)]
    assert "".join(choice.delta.content or "" for chunk in sums for choice in chunk.choices) == "The answer is 4."
    assert [chunk.usage.completion_tokens > 0 for chunk in sums if chunk.usage] == [True]
    parts = [part for chunk in calls for choice in chunk.choices for part in choice.delta.tool_calls or ()]
    assert json.loads("".join(part.function.arguments or "" for part in parts if part.function)) == PARIS


def user(text: str) -> Any:
    return [{"role": "user", "content": text}]


@pytest.mark.parametrize("wire", [wire for wire in WIRES if wire != "responses"])
def test_client_of_chats_gets_thoughts(chats: openai.OpenAI, wire: str) -> None:
    """Beside the answer. Of responses LiteLLM reads summaries of thoughts only."""
    fields: Any = {"model": f"thinker-{wire}", "messages": user("Why does it rain?"), "temperature": 0}
    message = chats.chat.completions.create(**fields).choices[0].message
    assert (message.reasoning_content, message.content) == ("".join(THOUGHTS), "".join(ANSWER))  # type: ignore[attr-defined]
    deltas = [chunk.choices[0].delta for chunk in chats.chat.completions.create(**fields, stream=True)]
    assert "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas) == "".join(THOUGHTS)


@pytest.mark.parametrize(
    ("wire", "method"),
    [
        ("chats", "CreateResponse"),
        ("responses", "CreateResponse"),
        ("messages", "CreateMessage"),
        ("vllm", "CreateResponse"),
        ("ollama", "OllamaChat"),
    ],
)
def test_client_of_responses_calls_a_tool(
    service: RunningService, chats: openai.OpenAI, wire: str, method: str
) -> None:
    """Whole, and gives its result back; and a text that is streamed."""
    said: list[Any] = [{"role": "user", "content": QUESTION}]
    fields: Any = {"model": f"demo-{wire}", "temperature": 0, "max_output_tokens": 100}
    tools: Any = [{"type": "function", "strict": False, **FUNCTION}]
    with asks(service, method, method, method):
        first = chats.responses.create(input=said, tools=tools, **fields)
        (call,) = (item for item in first.output if item.type == "function_call")
        said += [item.model_dump(exclude_none=True) for item in first.output]
        said += [{"type": "function_call_output", "call_id": call.call_id, "output": RESULT}]
        assert chats.responses.create(input=said, tools=tools, **fields).output_text == SUNNY
        with chats.responses.stream(input="What is 2+2?", **fields) as stream:
            assert stream.get_final_response().output_text == "The answer is 4."
    assert json.loads(call.arguments) == PARIS


@pytest.mark.parametrize(
    ("wire", "method"),
    [
        ("chats", "CreateResponse"),
        ("responses", "CreateResponse"),
        ("messages", "CreateMessage"),
        ("vllm", "CreateChatCompletion"),
        ("ollama", "OllamaChat"),
    ],
)
def test_client_of_messages_calls_a_tool(service: RunningService, messages: Any, wire: str, method: str) -> None:
    """Whole, and gives its result back; and streamed."""
    tools = [{"name": FUNCTION["name"], "description": FUNCTION["description"], "input_schema": SCHEMA}]
    fields: Any = {"model": f"demo-{wire}", "max_tokens": 100, "tools": tools, "extra_body": {"temperature": 0}}
    said: list[Any] = user(QUESTION)
    with asks(service, method, method, method):
        first = messages.messages.create(messages=said, **fields)
        (call,) = (block for block in first.content if block.type == "tool_use")
        said += [{"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in first.content]}]
        said += [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": RESULT}]}]
        second = messages.messages.create(messages=said, **fields)
        with messages.messages.stream(messages=user(QUESTION), **fields) as stream:
            streamed = stream.get_final_message()
    assert (first.stop_reason, call.input) == ("tool_use", PARIS)
    assert [block.text for block in second.content if block.type == "text"] == [SUNNY]
    assert [block.input for block in streamed.content if block.type == "tool_use"] == [PARIS]
    assert streamed.usage.output_tokens > 0


@pytest.mark.parametrize("wire", ["messages", "vllm"])
def test_client_of_messages_gets_thoughts(messages: Any, wire: str) -> None:
    """By its own wire, and from chats."""
    fields = {"max_tokens": 100, "extra_body": {"temperature": 0}}
    answer = messages.messages.create(model=f"thinker-{wire}", messages=user("Why does it rain?"), **fields)
    assert [getattr(block, block.type) for block in answer.content] == ["".join(THOUGHTS), "".join(ANSWER)]


@EACH_WIRE
def test_object_follows_its_schema(chats: openai.OpenAI, wire: str) -> None:
    """As the format of each wire."""
    schema = {"type": "object", "properties": {"city": {"enum": ["Rome"]}}, "required": ["city"]}
    schema["additionalProperties"] = False
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "place", "strict": True, "schema": schema}}
    answer = chats.chat.completions.create(
        model=f"demo-{wire}", messages=user("Where?"), response_format=wanted, max_tokens=100
    )
    assert json.loads(answer.choices[0].message.content or "") == {"city": "Rome"}


@EACH_WIRE
def test_refusal_has_its_status(chats: openai.OpenAI, wire: str) -> None:
    """And says what is too long."""
    with pytest.raises(openai.BadRequestError, match="the prompt is too long"):
        chats.chat.completions.create(model=f"demo-{wire}", messages=user("x" * 20_000))


def test_tokens_of_messages_are_counted(service: RunningService, messages: Any) -> None:
    """By the service."""
    with asks(service, "CountMessageTokens"):
        counted = messages.messages.count_tokens(model="demo-messages", messages=user("What is 2+2?"))
    assert counted.input_tokens > 0


def test_texts_are_embedded(service: RunningService, chats: openai.OpenAI) -> None:
    """In base64 by default, as OpenAI's client asks for them."""
    with asks(service, "CreateEmbedding"):
        found = chats.embeddings.create(model="demo-chats", input=["one", "two"])
    assert len({len(item.embedding) for item in found.data}) == 1


@pytest.mark.parametrize("ranker", ["ranker-vllm", "ranker-jina"])
def test_documents_are_ranked(service: RunningService, proxy: httpx.Client, ranker: str) -> None:
    """With their texts, as vLLM's clients and Jina's ask for them."""
    body = {"model": ranker, "query": "the cat", "documents": ["a dog", "the cat sat"], "return_documents": True}
    with asks(service, "CreateRerank"):
        answer = proxy.post("/v1/rerank", json=body, headers={"authorization": f"Bearer {KEY}"})
    assert answer.status_code == 200, answer.text
    results = answer.json()["results"]
    assert sorted(item["index"] for item in results) == [0, 1]
    assert {item["document"]["text"] for item in results} == {*body["documents"]}
