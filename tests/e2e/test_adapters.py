"""Requests with LoRA adapters, through all wires."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from llm_inference.v1 import inference_pb2
from tests.e2e.service import RunningService, inference, run_service
from tests.fakes.adapter import write_peft_adapter, write_tiny_adapter
from tests.fakes.gguf import write_tiny_model

PROMPT = "the cat sat on the mat and the dog ran over the hill"
CHOICES: dict[str, Any] = {
    "base": {},
    "a": {"adapters": [{"id": "a"}]},
    "b": {"adapters": [{"id": "b"}]},
    "a, less": {"adapters": [{"id": "a", "scale": 0.5}]},
    "both": {"adapters": [{"id": "b", "scale": 0.5}, {"id": "a"}]},
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service with a model and two adapters of it."""
    directory = tmp_path_factory.mktemp("adapters")
    model = write_tiny_model(directory / "tiny.gguf")
    for seed, name in enumerate("ab"):
        write_tiny_adapter(directory / f"{name}.gguf", model, seed=seed)
    variables = {"LLM_ALLOWED_MODELS": "tiny=tiny.gguf", "LLM_ADAPTERS": "tiny:a=a.gguf,tiny:b=b.gguf"}
    with run_service(directory, directory, **variables) as running:
        yield running


def test_adapter_that_peft_has_written_is_converted_once(tmp_path: Path) -> None:
    """It is the same as the GGUF file of its weights."""
    model = write_tiny_model(tmp_path / "tiny.gguf")
    (tmp_path / "peft").mkdir()
    write_peft_adapter(tmp_path / "peft", tmp_path / "same.gguf", model)
    variables = {"LLM_ALLOWED_MODELS": "tiny=tiny.gguf", "LLM_ADAPTERS": "tiny:peft=./peft,tiny:same=same.gguf"}
    cache = tmp_path / "cache"
    for _ in range(2):
        with run_service(tmp_path, tmp_path, LLM_CACHE_PATH=str(cache), **variables) as running:
            found = [text(running, **fields) for fields in ({}, {"model": "tiny:peft"}, {"model": "tiny:same"})]
        assert found[0] != found[1] == found[2]
        assert len(list(cache.glob("*.adapter.gguf"))) == 1


def complete(service: RunningService, **fields: Any) -> Any:
    body = {"model": "tiny", "prompt": PROMPT, "temperature": 0, "max_tokens": 24, "ignore_eos": True, **fields}
    with service.http() as http:
        return http.post("/v1/completions", json=body)


def text(service: RunningService, **fields: Any) -> str:
    answer = complete(service, **fields)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["text"])


def test_answers_at_once_are_those_of_requests_alone(service: RunningService) -> None:
    """Each of several adapters has another answer, also where the others are computed meanwhile."""
    alone = {name: text(service, **fields) for name, fields in CHOICES.items()}
    assert len(set(alone.values())) == len(CHOICES)
    with ThreadPoolExecutor(20) as pool:
        running = {name: [pool.submit(text, service, **CHOICES[name]) for _ in range(4)] for name in CHOICES}
        together = {name: {future.result() for future in futures} for name, futures in running.items()}
    assert together == {name: {answer} for name, answer in alone.items()}


def test_prefixes_are_not_shared_across_adapters(service: RunningService) -> None:
    """Their keys and values differ; a request with the same adapters finds its own."""
    prompt = {"prompt": "a prompt of this test alone, which nobody else has sent before it", "max_tokens": 1}
    cached = [
        complete(service, **prompt, **fields).json()["usage"]["prompt_tokens_details"]["cached_tokens"]
        for fields in (*CHOICES.values(), CHOICES["a"])
    ]
    assert cached[:-1] == [0] * len(CHOICES)
    assert cached[-1] > 0


def test_model_with_an_adapters_name_is_the_model_with_it(service: RunningService) -> None:
    """For clients that know no other field; the list of models has it."""
    assert text(service, model="tiny:a") == text(service, **CHOICES["a"])
    assert text(service, **CHOICES["a"]) != text(service, adapters=[{"id": "a", "scale": 0}]) == text(service)
    with service.http() as http:
        models = http.get("/v1/models").json()["data"]
        one = http.get("/v1/models/tiny:b").json()
    assert [(model["id"], model["parent"]) for model in models] == [
        ("tiny", None),
        ("tiny:a", "tiny"),
        ("tiny:b", "tiny"),
    ]
    assert (one["id"], one["parent"]) == ("tiny:b", "tiny")


def test_typed_apis_take_adapters(service: RunningService) -> None:
    """Over gRPC and REST; the model's facts list them."""
    expected = text(service, **CHOICES["a, less"])
    body = {"model": "tiny", "prompt": PROMPT, "temperature": 0, "max_tokens": 24, "ignore_eos": True}
    with grpc.insecure_channel(service.address) as channel:
        adapter = inference_pb2.Adapter(id="a", scale=0.5)
        assert inference(channel).Generate(inference_pb2.GenerateRequest(**body, adapters=[adapter])).text == expected
    with service.http() as http:
        assert http.post("/api/generate", json={**body, **CHOICES["a, less"]}).json()["text"] == expected
        assert http.get("/api/llms/tiny").json()["model"]["info"]["adapters"] == ["a", "b"]
        chat = {"model": "tiny:b", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}
        assert http.post("/api/chat", json=chat).status_code == 200


@pytest.mark.parametrize(
    ("fields", "status", "param", "says"),
    [
        ({"adapters": [{"id": "c"}]}, 400, "adapters[0].id", "the model has no adapter 'c'; it has a, b"),
        ({"adapters": [{"id": "a", "scale": 11}]}, 400, "adapters[0].scale", "from -10 to 10, not 11"),
        ({"adapters": [{"id": "a"}, {"id": "a"}]}, 400, "adapters[1].id", "listed twice"),
        ({"model": "tiny:a", "adapters": [{"id": "b"}]}, 400, "adapters", "whose id names one"),
        ({"model": "tiny:c"}, 404, "model", "'tiny:c' is not served here"),
    ],
)
def test_adapters_that_cannot_be_applied_are_refused_by_name(
    service: RunningService, fields: dict[str, Any], status: int, param: str, says: str
) -> None:
    """Before any work."""
    answer = complete(service, **fields)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (status, param)
    assert says in error["message"]
