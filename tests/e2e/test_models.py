"""Models by name, from the hub and from checkpoints, and models that share the memory."""

import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE

from tests.e2e.service import COMMAND, OF_ONE_MACHINE, RunningService, clean_environment, run_service
from tests.e2e.sse import stream
from tests.fakes.gguf import SPECIAL, write_tiny_model
from tests.fakes.hub import Repository, running_hub
from tests.models.convert.seeded_checkpoint import (
    FIXTURES,
    TINY_LLAMA,
    TINY_LLAMA_SHAPES,
    write_checkpoint,
    write_encoder,
)
from tools.conversion_fixtures.corpus import plain_lines

BODY: dict[str, Any] = {"prompt": "hello", "max_tokens": 4, "seed": 1, "ignore_eos": True}


def answer(service: RunningService, model: str, **fields: Any) -> httpx.Response:
    return httpx.post(f"{service.url}/api/generate", json={**BODY, "model": model, **fields}, timeout=60)


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a checkpoint in safetensors in `tiny`."""
    directory = tmp_path_factory.mktemp("checkpoints")
    return write_checkpoint(directory / "tiny", TINY_LLAMA, TINY_LLAMA_SHAPES, "llama2").parent


def test_models_of_the_hub_answer_by_name(tmp_path: Path, model_directory: Path, checkpoint: Path) -> None:
    """A GGUF file of a repository is downloaded, a checkpoint is converted too, and both serve the first request."""
    files = contents(checkpoint / "tiny")
    small = frozenset(name for name in files if name.endswith(".json"))
    repositories = {
        "org/gguf": Repository({"m.gguf": (model_directory / "tiny.gguf").read_bytes()}, frozenset()),
        "org/checkpoint": Repository(files, small),
    }
    with running_hub(repositories) as hub:
        variables = {
            "LLM_ALLOWED_MODELS": "org/gguf:m.gguf,chat=org/checkpoint,org/none",
            "LLM_CACHE_PATH": str(tmp_path / "cache"),
            "HF_HOME": str(tmp_path / "hub"),
            "HF_ENDPOINT": hub.endpoint,
            "LLM_PRELOAD_MODELS": "chat",
        }
        with run_service(tmp_path, tmp_path, **variables) as service:
            assert answer(service, "org/gguf:m.gguf").status_code == 200
            assert answer(service, "chat").status_code == 200
            missing = answer(service, "org/none")
            models = httpx.get(f"{service.url}/api/llms").json()["models"]
        assert missing.status_code == 400
        assert "org/none" in missing.json()["message"]
        assert [model["state"] for model in models] == ["ACTIVE", "ACTIVE", "FAILED"]
    offline = {**variables, "HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:9"}
    with run_service(tmp_path, tmp_path, **offline) as service:
        assert answer(service, "chat").status_code == 200


@OF_ONE_MACHINE
def test_files_come_and_go_over_the_api(tmp_path: Path, model_directory: Path) -> None:
    """They are downloaded without a load, used by one, and deleted only while nobody uses them."""
    content = (model_directory / "tiny.gguf").read_bytes()
    with running_hub({"org/gguf": Repository({"m.gguf": content, "n.gguf": content}, frozenset())}) as hub:
        variables = {
            "LLM_ALLOWED_MODELS": "m=org/gguf:m.gguf,same=org/gguf:m.gguf,n=org/gguf:n.gguf,tiny.gguf",
            "LLM_PRELOAD_MODELS": "tiny.gguf",
            "HF_HOME": str(tmp_path / "hub"),
            "HF_ENDPOINT": hub.endpoint,
        }
        with run_service(tmp_path, model_directory, **variables) as service, service.http() as http:
            for model in ("m", "n"):
                downloaded = http.post(f"/api/llms/{model}:download")
                assert (downloaded.status_code, downloaded.json()["model"]["state"]) == (200, "UNLOADED")
            assert len(hub.requests("storage")) == 1
            assert answer(service, "same").status_code == 200
            assert http.post("/api/llms/same:download").json()["model"]["state"] == "ACTIVE"
            for model in ("same", "m"):
                refused = http.post(f"/api/llms/{model}:delete")
                assert refused.status_code == 400
                assert "unload it first" in refused.json()["message"]
            http.post("/api/llms/same:unload")
            assert http.post("/api/llms/m:delete").json()["freed_bytes"] == 0  # `n` has the same content.
            assert http.post("/api/llms/n:delete").json()["freed_bytes"] == len(content)
            assert [path for path in (tmp_path / "hub").rglob("*") if path.is_file() and path.suffix != ".lock"] == []
            assert http.post("/api/llms/m:delete").json()["freed_bytes"] == 0
            assert answer(service, "m").status_code == 200
            assert len(hub.requests("storage")) == 2
            assert "is not from the hub" in http.post("/api/llms/tiny.gguf:delete").json()["message"]
            assert http.get("/api/llms/m:download").status_code == 405


def test_encoder_of_the_hub_computes_what_sentence_transformers_does(tmp_path: Path) -> None:
    """Its modules come with it: the pooling, which lies in a directory, and the length."""
    directory = write_encoder(tmp_path / "encoder", "bert_head")
    files = {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    reference = np.load(FIXTURES / "embeddings/bert_head/reference.npz")
    lines = plain_lines()[::10]
    with running_hub({"org/encoder": Repository(files, frozenset({"config.json", "modules.json"}))}) as hub:
        variables = {
            "LLM_ALLOWED_MODELS": "org/encoder",
            "LLM_CACHE_PATH": str(tmp_path / "cache"),
            "HF_HOME": str(tmp_path / "hub"),
            "HF_ENDPOINT": hub.endpoint,
        }
        with run_service(tmp_path, tmp_path, **variables) as service:
            body = {"texts": [lines[index] for index in reference["texts"]]}
            embeddings = httpx.post(f"{service.url}/api/embed", json=body, timeout=60).json()["embeddings"]
            long = httpx.post(f"{service.url}/api/embed", json={"texts": ["a " * 300]}, timeout=60)
    found = np.array([item["values"] for item in embeddings], np.float32)
    assert (found * reference["vectors"].astype(np.float32)).sum(1).min() >= 0.9998
    assert "maximum context length is 200 tokens" in long.json()["message"]


def test_tokenizer_of_another_repository_takes_the_place_of_the_files_own(tmp_path: Path) -> None:
    """`@repo` brings the chat template and the tokenizer: the prompt has their tokens."""

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(BPE({text: index for index, text in enumerate([*alphabet, *SPECIAL])}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    template = "{{ messages[0].content }}{{ messages[0].content }}!"
    model = write_tiny_model(tmp_path / "m.gguf").read_bytes()
    repositories = {
        "org/gguf": Repository({"m.gguf": model}, frozenset()),
        "org/tokenizer": Repository(
            {"tokenizer.json": tokenizer.to_str().encode(), "chat_template.jinja": template.encode()},
            frozenset({"tokenizer.json", "chat_template.jinja"}),
        ),
    }
    with running_hub(repositories) as hub:
        variables = {
            "LLM_ALLOWED_MODELS": "org/gguf:m.gguf@org/tokenizer",
            "HF_HOME": str(tmp_path / "hub"),
            "HF_ENDPOINT": hub.endpoint,
        }
        with run_service(tmp_path, tmp_path, **variables) as service:
            body = {"messages": [{"role": "user", "content": "word"}], "max_tokens": 1}
            usage = httpx.post(f"{service.url}/api/chat", json=body, timeout=30).json()["usage"]
    assert usage["prompt_tokens"] == 2 * len("word") + 1


@OF_ONE_MACHINE
def test_models_that_do_not_fit_together_take_turns(tmp_path: Path, model_directory: Path) -> None:
    """With memory for one, requests alternate between two models; each turn is a load, and a busy model stays."""
    variables = {
        "LLM_ALLOWED_MODELS": "tiny.gguf,plain.gguf",
        "LLM_PRELOAD_MODELS": "tiny.gguf",
        "LLM_MEMORY_BUDGET": "300MiB",
        "LLM_QUEUE_TIMEOUT": "60",
    }
    with run_service(tmp_path, model_directory, **variables) as service:
        for model in ("plain.gguf", "tiny.gguf", "plain.gguf", "tiny.gguf"):
            assert answer(service, model).status_code == 200
        assert service.metric("load_seconds_count") == 5
        long = {**BODY, "model": "tiny.gguf", "max_tokens": 600}
        with (
            service.http() as http,
            stream(http, "/api/generate/stream", long) as (_, events),
            ThreadPoolExecutor() as pool,
        ):
            next(events)
            waiting = pool.submit(answer, service, "plain.gguf")
            assert list(events)[-1]["usage"]["completion_tokens"] == 600
            assert waiting.result().status_code == 200
        assert service.metric("load_seconds_count") == 6
        assert service.metric("model_state", state="ACTIVE") == 1


def test_model_beyond_the_budget_is_refused_with_both_numbers(tmp_path: Path, model_directory: Path) -> None:
    """A context that cannot fit is refused before anything is allocated."""
    variables = {
        "LLM_ALLOWED_MODELS": "tiny.gguf",
        "LLM_MEMORY_BUDGET": "1GiB",
        "LLM_KV_CACHE_TOKENS": "16000000",
    }
    with run_service(tmp_path, model_directory, **variables) as service:
        refused = answer(service, "tiny.gguf")
    assert refused.status_code == 400
    assert "GiB" in refused.json()["message"]
    assert "1.00 GiB" in refused.json()["message"]


def test_idle_model_leaves_the_memory(tmp_path: Path, model_directory: Path) -> None:
    """A model that nobody uses is unloaded after a while, and comes back for the next request."""
    variables = {"LLM_ALLOWED_MODELS": "tiny.gguf", "LLM_IDLE_UNLOAD": "0.5"}
    with run_service(tmp_path, model_directory, **variables) as service:
        service.wait_for_metric("model_state", 1, state="UNLOADED")
        assert answer(service, "tiny.gguf").status_code == 200


def test_models_are_pulled_shown_and_removed_from_a_terminal(tmp_path: Path, checkpoint: Path) -> None:
    """A person prepares models without a service: pull, convert, show, list what is there, remove."""
    files = contents(checkpoint / "tiny")
    repository = Repository(files, frozenset(name for name in files if name.endswith(".json")))
    with running_hub({"org/checkpoint": repository}) as hub:
        variables = {
            "LLM_CACHE_PATH": str(tmp_path / "cache"),
            "HF_HOME": str(tmp_path / "hub"),
            "HF_ENDPOINT": hub.endpoint,
            "LLM_MODEL_PATH": str(checkpoint),
        }

        def run(*arguments: str) -> subprocess.CompletedProcess[str]:
            command = [*COMMAND, "models", *arguments]
            environment = {**clean_environment(), **variables}
            return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

        pulled = run("pull", "org/checkpoint")
        assert pulled.returncode == 0, pulled.stderr
        assert Path(pulled.stdout.strip()).is_file()
        assert "architecture" in run("show", "org/checkpoint").stdout
        converted = run("convert", "./tiny", "--type", "Q8_0")
        assert converted.returncode == 0, converted.stderr
        listed = json.loads(run("cached", "--json").stdout)
        assert [each["kind"] for each in listed] == ["downloaded", "converted", "converted"]
        assert listed[0]["name"] == "org/checkpoint"
        assert listed[0]["bytes"] == sum(map(len, files.values()))
        assert "MiB are free again" in run("rm", Path(converted.stdout.strip()).name, "org/checkpoint").stdout
        (left,) = json.loads(run("cached", "--json").stdout)
        assert left["name"] == Path(pulled.stdout.strip()).name
        assert "not among the names" in run("rm", "org/checkpoint").stderr
        failed = run("pull", "org/none")
        assert failed.returncode == 1
        assert "org/none" in failed.stderr
        assert "Traceback" not in failed.stderr


def test_service_whose_only_model_has_failed_is_not_ready_and_says_why(tmp_path: Path) -> None:
    """A balancer's check hears no; a caller over REST the reason, not Envoy's words."""
    (tmp_path / "bad.gguf").write_bytes(b"no model")
    with run_service(tmp_path, tmp_path, LLM_ALLOWED_MODELS="bad.gguf") as service, service.http() as http:
        deadline = time.monotonic() + 20
        while http.get("/health/ready").status_code != 503:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert http.get("/health/live").status_code == 200
        refused = http.post("/api/generate", json={"prompt": "x"})
        assert refused.status_code == 400
        assert "bad.gguf is not a GGUF file" in refused.json()["message"]
