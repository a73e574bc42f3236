"""A configuration of the second replaced service, as its documentation has it, and the calls that it documents."""

import json
from collections.abc import Iterator

import httpx
import pytest

from tests.e2e.service import RunningService, run_service, wait_until_active
from tests.fakes.hub import FakeHub, Repository, running_hub
from tests.fakes.ports import free_port
from tests.models.convert.seeded_checkpoint import TINY_LLAMA, TINY_LLAMA_SHAPES, write_checkpoint

MODEL = "TinyLlama/TinyLlama-1.1B-Chat-v1.0"
TOKEN = "hf_abcdefgh"
SAID = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "Hello! How are you?"},
]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeHub]:
    """A hub with a checkpoint of random weights, without a chat template, for those who have the token."""
    directory = write_checkpoint(tmp_path_factory.mktemp("hub") / "tiny", TINY_LLAMA, TINY_LLAMA_SHAPES, "llama2")
    files = {path.name: path.read_bytes() for path in directory.iterdir()}
    small = frozenset(name for name in files if name.endswith(".json"))
    with running_hub({MODEL: Repository(files, small=small, token=TOKEN)}) as fake:
        yield fake


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, hub: FakeHub) -> Iterator[RunningService]:
    """The service in a directory with the other's config.json, whose host and port nothing else names."""
    directory, port = tmp_path_factory.mktemp("infrs"), free_port()
    config = {
        "server": {"host": "127.0.0.1", "port": port},
        "model": {"model_id": MODEL, "revision": "main", "dtype": "float32"},
    }
    (directory / "config.json").write_text(json.dumps(config))
    with run_service(
        directory,
        directory,
        wait=False,
        unset=("LLM_INFERENCE_PORT", "LLM_INFERENCE_HOSTNAME", "LLM_MODEL_PATH"),
        LLM_INFERENCE_PORT=str(port),
        HUGGING_FACE_HUB_TOKEN=TOKEN,
        HF_ENDPOINT=hub.endpoint,
        HF_HOME=str(directory / "hub"),
        LLM_CACHE_PATH=str(directory / "cache"),
    ) as running:
        wait_until_active(running, seconds=120)  # It is downloaded and converted first.
        yield running


def test_documented_chat_is_answered(service: RunningService) -> None:
    """The answer has every key of the documented one, with the same types."""
    body = {"model": MODEL, "messages": SAID, "max_tokens": 8, "temperature": 0.7}
    response = httpx.post(f"{service.url}/v1/chat/completions", json=body, timeout=60)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["id"].startswith("chatcmpl-")
    assert (answer["object"], answer["model"]) == ("chat.completion", MODEL)
    assert isinstance(answer["created"], int)
    (choice,) = answer["choices"]
    assert (choice["index"], choice["message"]["role"]) == (0, "assistant")
    assert isinstance(choice["message"]["content"], str)
    assert choice["finish_reason"] in ("stop", "length")
    usage = answer["usage"]
    assert usage["prompt_tokens"] + usage["completion_tokens"] == usage["total_tokens"]


def test_configured_model_is_listed(service: RunningService) -> None:
    """GET /v1/models has the model under the id that requests name."""
    listed = httpx.get(f"{service.url}/v1/models", timeout=10).json()
    assert [model["id"] for model in listed["data"]] == [MODEL]


def test_model_without_a_template_gets_lines(service: RunningService) -> None:
    """Each message is a line `role: content`, as the other service joins them."""
    prompt = httpx.post(f"{service.url}/api/chat/render", json={"messages": SAID}, timeout=10).json()["prompt"]
    assert "system: You are a helpful assistant.\nuser: Hello! How are you?\n" in prompt
