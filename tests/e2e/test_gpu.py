"""The real service where llama.cpp was built for a GPU and there is one; skipped elsewhere.

`LLAMA_CPP_LIB_PATH` has all tests use another libllama, such as one that was built for a GPU (docs/deployment.md).
"""

from pathlib import Path

import httpx
import pytest

from tests.e2e.service import RunningService, run_service

PROMPTS = [f"Write {count} words about {what}." for count in (3, 20) for what in ("rivers", "stones", "wind", "salt")]
LONG = "Here is a list of words: " + "river stone window letter garden winter copper market " * 20


@pytest.fixture(scope="module")
def on_gpu(demo: RunningService) -> RunningService:
    """The demo's service, which takes the GPU where there is one."""
    if devices(demo) == ["CPU"]:
        pytest.skip("llama.cpp has no GPU here")
    return demo


def devices(service: RunningService) -> list[str]:
    """Returns the devices of the service's only model."""
    (model,) = httpx.get(f"{service.url}/api/llms", timeout=10).json()["models"]
    found: list[str] = model["info"]["devices"]
    return found


def greedy(service: RunningService, prompt: str) -> str:
    """Returns the likeliest text that follows."""
    body = {"prompt": prompt, "temperature": 0, "max_tokens": 24}
    answer = httpx.post(f"{service.url}/api/generate", json=body, timeout=60)
    assert answer.status_code == httpx.codes.OK, answer.text
    text: str = answer.json()["text"]
    return text


def test_all_layers_are_on_the_gpu(on_gpu: RunningService) -> None:
    """By default; the worker's log says where llama.cpp has put them."""
    assert devices(on_gpu) != ["CPU"]
    assert all(greedy(on_gpu, prompt) for prompt in PROMPTS)


def test_without_layers_on_it_the_gpu_computes_nothing(on_gpu: RunningService, tmp_path: Path) -> None:
    """Not even the products of large batches, which would make a text depend on its batch."""
    name = devices(on_gpu)[0]
    variables = {"LLM_ALLOWED_MODELS": "demo", "LLM_GPU_LAYERS": "0", "LOG_LEVEL": "DEBUG"}
    with run_service(tmp_path, tmp_path, **variables) as service:
        assert devices(service) == ["CPU"]
        alone = greedy(service, LONG)
        assert greedy(service, LONG) == alone
        log = service.log()
    assert "CPU compute buffer" in log
    assert f"{name} compute buffer" not in log
