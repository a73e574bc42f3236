"""The service's models as Ollama's API has them."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from llm_inference_api.api.ollama.models import ModelList, model_id, name_of
from llm_inference_api.errors import UnavailableError
from llm_inference_api.models.registry import Registry
from llm_inference_api.requests.model_info import ModelInfo, ThinkingOptions
from llm_inference_api.requests.model_status import ModelStatus, State

INFO = ModelInfo(
    "llama 1.1B Q4_K - Medium",
    1_100_000_000,
    700,
    4096,
    8192,
    32000,
    4,
    400,
    has_chat_template=True,
    devices=("CPU",),
    thinking=ThinkingOptions(can_be_off=True),
    chat_template="{{ messages }}",
)


def registry(**models: Any) -> Registry:
    """Returns a registry of models that are loaded or, without info, are not."""
    found: Any = {
        name.replace("__", ":"): SimpleNamespace(
            status=ModelStatus(
                name.replace("__", ":"), f"{name}.gguf", State.ACTIVE if info else State.UNLOADED, info=info
            ),
            adapters=("poet",) if name == "tiny" else (),
        )
        for name, info in models.items()
    }
    return Registry(found)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("tiny", "tiny"),
        ("tiny:latest", "tiny"),
        ("tiny:poet", "tiny:poet"),
        ("big", "big:latest"),
        ("big:latest", "big:latest"),
        ("other:1b", "other:1b"),
        ("other", "other"),
        ("", ""),
    ],
)
def test_name_stands_for_a_model_with_or_without_the_tag(name: str, found: str) -> None:
    """That of an adapter is a tag too; an unknown name stays what it is."""
    assert model_id(registry(tiny=None, big__latest=None, other__1b=None), name) == found


def test_listed_name_has_a_tag() -> None:
    """As in Ollama's own list."""
    assert [name_of(model) for model in ("a", "a:b", "owner/a:file.gguf")] == ["a:latest", "a:b", "owner/a:file.gguf"]


def test_list_has_models_and_their_adapters() -> None:
    """What is not in memory is not known but by its name."""
    tiny, poet, big = ModelList(registry(tiny=INFO, big=None), None).tags()["models"]
    assert [model["model"] for model in (tiny, poet, big)] == ["tiny:latest", "tiny:poet", "big:latest"]
    assert tiny["details"] == {
        "parent_model": "",
        "format": "gguf",
        "family": "llama",
        "families": ["llama"],
        "parameter_size": "1.1B",
        "quantization_level": "Q4_K_M",
    }
    assert (tiny["size"], poet["details"]["parent_model"]) == (700, "tiny:latest")
    assert (big["size"], big["details"]["family"]) == (0, "")
    assert len({model["digest"] for model in (tiny, poet, big)}) == 3


def test_models_in_memory_are_listed_with_when_they_leave() -> None:
    """Never, or when nobody has asked for so long; on a GPU, if one computes them."""
    on_gpu = INFO._replace(devices=("CUDA0",))
    stays, gpu = ModelList(registry(a=INFO, b=on_gpu, c=None), None).loaded()["models"]
    assert (stays["name"], stays["context_length"], stays["size_vram"], gpu["size_vram"]) == ("a:latest", 4096, 0, 700)
    assert datetime.fromisoformat(stays["expires_at"]).year == 9999
    (leaves,) = ModelList(registry(a=INFO), 60.0).loaded()["models"]
    left = datetime.fromisoformat(leaves["expires_at"]) - datetime.now(UTC)
    assert timedelta(seconds=30) < left <= timedelta(seconds=60)


def test_model_is_shown_with_what_it_can() -> None:
    """By the names of GGUF's metadata; the context is that of the service in the parameters."""
    found = ModelList(registry(tiny=INFO), None).shown("tiny:poet")
    assert found["model_info"] == {
        "general.architecture": "llama",
        "general.parameter_count": 1_100_000_000,
        "llama.context_length": 8192,
        "llama.vocab_size": 32000,
    }
    assert (found["template"], found["parameters"].split()) == ("{{ messages }}", ["num_ctx", "4096"])
    assert found["capabilities"] == ["completion", "tools", "thinking"]
    embedder = INFO._replace(generates=False, embedding_length=384, thinking=ThinkingOptions())
    assert ModelList(registry(tiny=embedder), None).shown("tiny")["capabilities"] == ["embedding"]
    with pytest.raises(UnavailableError):
        ModelList(registry(tiny=None), None).shown("tiny")
