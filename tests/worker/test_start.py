"""The worker's entry point."""

import os
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from llm_inference_api.requests.engine_config import EngineConfig
from llm_inference_api.worker import process, start


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, "10000"),
        ({"GOMP_SPINCOUNT": "5"}, "5"),
        ({"OMP_WAIT_POLICY": "PASSIVE"}, None),
    ],
)
def test_threads_spin_shortly_unless_the_operator_says_otherwise(
    given: dict[str, str], found: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable is there before llama.cpp is loaded, which reads it."""
    seen: list[str | None] = []
    monkeypatch.setattr(os, "environ", dict(given))
    monkeypatch.setattr(process, "run", lambda *_: seen.append(os.environ.get("GOMP_SPINCOUNT")))
    with Connection(os.open("/dev/null", os.O_RDONLY)) as connection:
        start.run(connection, EngineConfig(Path("model.gguf"), 1, 1, 1, 1.0))
    assert seen == [found]
