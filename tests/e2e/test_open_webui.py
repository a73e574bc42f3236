"""Open WebUI with the service as a connection of OpenAI's kind and of Ollama's, through the API that its pages use."""

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e import programs
from tests.e2e.service import RunningService, run_service
from tests.fakes.ports import free_port

OPEN_WEBUI = programs.program("open-webui", "open-webui")
NO_DOWNLOADS = {
    "OFFLINE_MODE": "True",
    "HF_HUB_OFFLINE": "1",
    "RAG_EMBEDDING_ENGINE": "openai",  # Its own engine would load a model of the hub.
    "ANONYMIZED_TELEMETRY": "False",
    "DO_NOT_TRACK": "True",
}
MODELS = {"openai": "demo", "ollama": "demo:latest"}
"""The model by the kind of its connection, as Open WebUI tells them apart."""
METHODS = {
    "openai": "/llm_inference.v1.OpenAIService/CreateChatCompletion",
    "ollama": "/llm_inference.v1.OllamaService/OllamaChat",
}
EACH_KIND = pytest.mark.parametrize("kind", MODELS)
QUESTION = [{"role": "user", "content": "What is 2+2?"}]
ANSWER = "The answer is 4."

pytestmark = programs.needs(OPEN_WEBUI, "Open WebUI is not installed (tests/e2e/programs.py says where)")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service with the demo model, and Ollama's port."""
    directory = tmp_path_factory.mktemp("service")
    with run_service(directory, directory, LLM_ALLOWED_MODELS="demo", LLM_OLLAMA_PORT=str(free_port())) as running:
        yield running


@pytest.fixture(scope="module")
def webui(service: RunningService, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Open WebUI, and its first user, who is its administrator."""
    home = tmp_path_factory.mktemp("webui")
    port = free_port()
    variables = {
        **NO_DOWNLOADS,
        "DATA_DIR": str(home / "data"),
        "WEBUI_SECRET_KEY": "a secret of this test",
        "OPENAI_API_BASE_URL": f"{service.url}/v1",
        "OPENAI_API_KEY": "none",
        "OLLAMA_BASE_URL": service.ollama_url,
    }
    command = [str(OPEN_WEBUI), "serve", "--host", "127.0.0.1", "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    with programs.running(command, home, url, ready="/health", variables=variables) as client:
        user = {"name": "User", "email": "user@example.org", "password": "a password"}
        signed_up = client.post("/api/v1/auths/signup", json=user).json()
        client.headers["authorization"] = f"Bearer {signed_up['token']}"
        yield client


def test_models_are_those_of_both_connections(webui: httpx.Client) -> None:
    """By the names that each API has for them."""
    found = {model["owned_by"]: model["id"] for model in webui.get("/api/models").json()["data"]}
    assert found == MODELS


@EACH_KIND
def test_chat_is_answered(webui: httpx.Client, kind: str) -> None:
    """With the parameters of the chat, and the usage."""
    params = {"temperature": 0, "max_tokens": 4, "seed": 1, "stop": ["zebra"], "top_p": 0.9}
    body = {"model": MODELS[kind], "messages": QUESTION, "stream": False, "params": params}
    answer = webui.post("/api/chat/completions", json=body).json()
    (choice,) = answer["choices"]
    assert ANSWER.startswith(choice["message"]["content"])
    assert (choice["finish_reason"], answer["usage"]["completion_tokens"]) == ("length", 4)


@EACH_KIND
def test_chat_is_streamed(webui: httpx.Client, kind: str) -> None:
    """The chunks add up to the answer."""
    body = {"model": MODELS[kind], "messages": QUESTION, "stream": True, "params": {"temperature": 0}}
    with webui.stream("POST", "/api/chat/completions", json=body) as answer:
        lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line.startswith("data: {")]
    deltas = [choice["delta"] for line in lines for choice in json.loads(line)["choices"]]
    assert "".join(delta.get("content") or "" for delta in deltas) == ANSWER


@EACH_KIND
def test_refusal_says_why(webui: httpx.Client, kind: str) -> None:
    """In the service's words."""
    said = [{"role": "user", "content": "x" * 20_000}]
    answer = webui.post("/api/chat/completions", json={"model": MODELS[kind], "messages": said})
    assert (answer.status_code, "the prompt is too long" in answer.text) == (400, True)


@EACH_KIND
def test_page_chats(webui: httpx.Client, service: RunningService, kind: str) -> None:
    """As it does when someone types: the answer is kept, and title, tags and further questions are asked for.

    Without the tools that it offers by default, which have more tokens than the demo model can read.
    """
    asked, answered = str(uuid.uuid4()), str(uuid.uuid4())
    model, method = MODELS[kind], METHODS[kind]
    messages: dict[str, Any] = {
        asked: {"id": asked, "parentId": None, "childrenIds": [answered], **QUESTION[0], "models": [model]},
        answered: {"id": answered, "parentId": asked, "childrenIds": [], "role": "assistant", "content": ""},
    }
    chat = {"title": "New Chat", "models": [model], "history": {"messages": messages, "currentId": answered}}
    chat_id = webui.post("/api/v1/chats/new", json={"chat": chat}).json()["id"]
    before = service.metric("rpcs_total", method=method, code="OK")
    body = {
        "model": model,
        "messages": QUESTION,
        "stream": True,
        "stream_options": {"include_usage": True},
        "params": {"function_calling": "legacy"},
        "chat_id": chat_id,
        "id": answered,
        "session_id": str(uuid.uuid4()),
        "background_tasks": {"title_generation": True, "tags_generation": True, "follow_up_generation": True},
    }
    webui.post("/api/chat/completions", json=body).raise_for_status()
    kept = ended(webui, chat_id)["history"]["messages"][answered]
    assert (kept["content"], kept.get("error")) == (ANSWER, None)
    assert service.metric("rpcs_total", method=method, code="OK") - before == 4


def ended(webui: httpx.Client, chat_id: str) -> Any:
    """Waits until nothing is asked for a chat any more, and returns it."""
    deadline = time.monotonic() + 100
    while webui.get(f"/api/tasks/chat/{chat_id}").json()["task_ids"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return webui.get(f"/api/v1/chats/{chat_id}").json()["chat"]
