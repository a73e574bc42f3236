"""The OpenAPI document is valid, and the service does what it says."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openapi_spec_validator import validate

from tests.e2e.service import RunningService, clean_environment, run_service
from tools.generate import PROJECT

DOCUMENT: dict[str, Any] = json.loads((PROJECT / "generated/llm_inference/v1/openapi.json").read_text())
BODIES: dict[str, dict[str, Any]] = {
    "GenerateRequest": {"prompt": "Once", "max_tokens": 1},
    "ChatRequest": {"messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 1},
    "OpenAIChatCompletionParams": {"messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 1},
    "OpenAICompletionParams": {"prompt": "Once", "max_tokens": 1},
    "OpenAIResponsesResponseParams": {"input": "Once", "max_output_tokens": 1},
}
PATHS = {
    "GenerateRequest": "/api/generate",
    "ChatRequest": "/api/chat",
    "OpenAIChatCompletionParams": "/v1/chat/completions",
    "OpenAICompletionParams": "/v1/completions",
    "OpenAIResponsesResponseParams": "/v1/responses",
}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE")
NEEDED = {"top_logprobs": {"logprobs": True}}
"""What fields need beside them, where there is such a field."""
BY_SETTING = ("max_tokens", "max_completion_tokens", "max_output_tokens", "n_predict", "n")
"""Fields whose upper limit is a setting, which the document says in words."""


def numbers() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yields each field of a request that is a number with limits, with its message and its schema."""
    for message in BODIES:
        for field, schema in DOCUMENT["components"]["schemas"][message]["properties"].items():
            kinds = schema.get("type", [])
            if {"integer", "number"} & set([kinds] if isinstance(kinds, str) else kinds) and field != "best_of":
                yield message, field, schema  # `best_of` is what `n` is.


def answer(client: httpx.Client, message: str, field: str, value: float) -> httpx.Response:
    known = DOCUMENT["components"]["schemas"][message]["properties"]
    needed = {name: needs for name, needs in NEEDED.get(field, {}).items() if name in known}
    body = {**BODIES[message], **needed, field: value}
    if field in ("max_completion_tokens", "n_predict"):
        del body["max_tokens"]
    return client.post(PATHS[message], json=body)


@pytest.fixture
def client(demo: RunningService) -> Iterator[httpx.Client]:
    with demo.http() as client:
        yield client


def test_document_is_valid_and_served(client: httpx.Client) -> None:
    """It is OpenAPI 3.1, and GET /openapi.json returns what is committed."""
    validate(DOCUMENT)
    answer = client.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == DOCUMENT


def test_every_element_is_described() -> None:
    """No operation, message or field is without words."""
    for path in DOCUMENT["paths"].values():
        assert all(operation["description"] and operation["summary"] for operation in path.values())
    for name, schema in DOCUMENT["components"]["schemas"].items():
        if not name.startswith(("OpenAI", "Anthropic")):
            assert schema["description"], name
            assert all(field["description"] for field in schema.get("properties", {}).values()), name


@pytest.mark.parametrize(("message", "field", "schema"), list(numbers()))
def test_limits_are_those_of_the_service(
    client: httpx.Client, message: str, field: str, schema: dict[str, Any]
) -> None:
    """A number is accepted at its documented limits, and refused beyond them by a 400 that names it."""
    low, high = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
    if "minimum" in schema:
        assert answer(client, message, field, low).status_code == 200
    beyond = [low - 1 if "minimum" in schema else low]
    if field not in BY_SETTING:
        assert answer(client, message, field, high).status_code == 200
        beyond.append(high + 1)
    for value in beyond:
        refused = answer(client, message, field, value)
        assert refused.status_code == 400
        assert field in refused.text


@pytest.mark.parametrize("path", list(DOCUMENT["paths"]))
def test_other_methods_are_refused_by_name(client: httpx.Client, path: str) -> None:
    """A method that a path does not have is a 405 that says which it has."""
    has = [method.upper() for method in DOCUMENT["paths"][path]]
    for method in METHODS:
        if method not in has:
            refused = client.request(method, path.replace("{model}", "demo"))
            assert refused.status_code == 405
            asked_by_get = ["HEAD"] if "GET" in has else []
            assert refused.headers["allow"].split(", ") == [*sorted(has, key=METHODS.index), *asked_by_get, "OPTIONS"]
            assert all(method in refused.text for method in has)


def fuzz(service: RunningService, tmp_path: Path, *options: str) -> int:
    """Returns how many requests schemathesis made; fails where it found something."""
    configured = ("--config-file", str(PROJECT / "tests/e2e/schemathesis.toml"), "--no-color")
    command = [Path(sys.executable).with_name("schemathesis"), *configured, "run", f"{service.url}/openapi.json"]
    environment = {**clean_environment(), "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        [*command, *options], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    generated = re.search(r"(\d+) generated, \1 passed", done.stdout)
    assert generated, done.stdout
    return int(generated[1])


@pytest.fixture
def hurried(tmp_path: Path) -> Iterator[RunningService]:
    """A service whose answers are short."""
    short = {
        "LLM_BATCH_STORE": str(tmp_path / "batches"),
        "LLM_ALLOWED_MODELS": "demo",
        "LLM_DEFAULT_MAX_TOKENS": "8",
        "LLM_MAX_TOKENS_LIMIT": "64",
        "LLM_REQUEST_TIMEOUT": "30",
    }
    with run_service(tmp_path, tmp_path, **short) as service:
        yield service


def test_service_follows_its_document(hurried: RunningService, tmp_path: Path) -> None:
    """Examples and some generated requests get answers that the document foresees, and no 500.

    They are the same in every run; those of `make fuzz` differ.
    """
    assert fuzz(hurried, tmp_path, "--phases", "examples,fuzzing", "--max-examples", "3", "--seed", "1") > 50
    assert "internal error" not in hurried.log()


@pytest.mark.fuzz
@pytest.mark.timeout(1800)
def test_service_follows_its_document_in_thousands_of_cases(hurried: RunningService, tmp_path: Path) -> None:
    """So do thousands: each limit, each wrong type and each field that is missing, and more random ones."""
    assert fuzz(hurried, tmp_path, "--max-examples", "30") >= 1000
    assert "internal error" not in hurried.log()
