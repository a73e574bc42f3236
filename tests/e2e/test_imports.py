"""The server's process computes nothing: what does is not even loaded there, whatever has been served."""

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.e2e import service as launcher
from tests.e2e.service import run_service
from tests.fakes.gguf import write_tiny_model
from tests.models.convert.seeded_checkpoint import TINY_LLAMA, TINY_LLAMA_SHAPES, write_checkpoint

COMPUTE = {
    "ctransformers",
    "gguf",
    "httpx2",
    "huggingface_hub",
    "jinja2",
    "llama_cpp",
    "llguidance",
    "numpy",
    "safetensors",
    "tokenizers",
    "torch",
    "transformers",
}
"""What reads models' files, loads, prompts, samples or downloads them: the work of child processes."""
SERVER = """
import atexit, pathlib, sys
atexit.register(lambda: pathlib.Path("modules").write_text("\\n".join(sys.modules)))
from llm_inference_api.cli.main import main
main()
"""
"""The command line, which says as its last act what it has loaded."""
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}
CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 2}
TOOL = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}
REQUESTS = [
    ("/api/chat", CHAT),
    ("/api/chat", {**CHAT, "max_tokens": 100, "json_schema": json.dumps(SCHEMA)}),
    ("/api/generate", {"model": "tiny", "prompt": "hello", "max_tokens": 2, "logprobs": True, "top_logprobs": 2}),
    ("/api/generate", {"model": "checkpoint", "prompt": "hello", "max_tokens": 2}),
    ("/api/embed", {"model": "tiny", "texts": ["hello"]}),
    ("/api/tokenize", {"model": "tiny", "text": "hello"}),
    ("/v1/chat/completions", {**CHAT, "stream": True, "logprobs": True, "tools": [TOOL], "tool_choice": "none"}),
    ("/v1/embeddings", {"model": "tiny", "input": "hello", "encoding_format": "float"}),
]


def test_server_process_loads_nothing_that_computes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a GGUF file, nor a checkpoint that is converted and quantised, nor any request changes that."""
    monkeypatch.setattr(launcher, "COMMAND", (sys.executable, "-c", SERVER))
    models = tmp_path / "models"
    write_checkpoint(models / "checkpoint", TINY_LLAMA, TINY_LLAMA_SHAPES, "llama2")
    write_tiny_model(models / "tiny.gguf")
    (models / "garbage.gguf").write_bytes(b"no model")
    variables = {
        "LLM_ALLOWED_MODELS": "tiny=tiny.gguf,checkpoint=./checkpoint,garbage.gguf",
        "LLM_PRELOAD_MODELS": "tiny",
        "LLM_CACHE_PATH": str(tmp_path / "cache"),
        "LLM_ENABLE_ISQ": "true",
        "LLM_ISQ_TYPE": "Q8_0",
        "LLM_THREADS": "1",
    }
    with run_service(tmp_path, models, **variables) as running:
        with running.http() as http:
            for path, body in REQUESTS:
                answer = http.post(path, json=body)
                assert answer.status_code == httpx.codes.OK, f"{path}: {answer.text}"
            assert http.post("/api/generate", json={"model": "garbage.gguf", "prompt": "x"}).status_code == 400
        assert running.stop() == 0
    loaded = (tmp_path / "modules").read_text().splitlines()
    assert "llm_inference_api.server" in loaded
    assert COMPUTE & {name.partition(".")[0] for name in loaded} == set()


KEPT = """
import atexit, gc, pathlib
atexit.register(lambda: pathlib.Path("kept").write_text(f"{gc.get_freeze_count()} {gc.isenabled()}"))
from llm_inference_api.cli.main import main
main()
"""


def test_garbage_collector_does_not_walk_what_the_server_has_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That would hold up all streams for tens of milliseconds."""
    monkeypatch.setattr(launcher, "COMMAND", (sys.executable, "-c", KEPT))
    with run_service(tmp_path, tmp_path, LLM_ALLOWED_MODELS="demo") as running:
        assert running.stop() == 0
    count, is_enabled = (tmp_path / "kept").read_text().split()
    assert int(count) > 50_000
    assert is_enabled == "True"


WORKER = "import sys, llm_inference_api.worker.process; print(*sys.modules)"
UNUSED = {"gguf", "jinja2", "llama_cpp.llama", "llama_cpp.llama_chat_format", "pydantic"}
"""What takes long to load, and a worker needs for some models at most."""


def test_worker_starts_without_what_it_does_not_use() -> None:
    """Each costs every load of a model time and memory."""
    loaded = subprocess.run((sys.executable, "-c", WORKER), capture_output=True, text=True, check=True, timeout=60)
    assert "llama_cpp.llama_cpp" in loaded.stdout.split()
    assert UNUSED.isdisjoint(loaded.stdout.split())
