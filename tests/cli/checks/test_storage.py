"""Checks of the models' files and of the cache."""

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from llm_inference_api.cli.checks import storage
from llm_inference_api.config.settings import Settings, load_settings

GIB = 1 << 30
Usage = namedtuple("Usage", "total used free")  # noqa: PYI024 - as shutil's


def test_directory_that_was_named_must_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default need not: models come from packages and the hub too."""
    assert {finding.verdict for finding in storage.models(load_settings())} == {"ok"}
    monkeypatch.setenv("LLM_MODEL_PATH", str(tmp_path / "none"))
    found = [*storage.models(load_settings())]
    assert [(finding.verdict, finding.subject) for finding in found] == [("ok", "models"), ("problem", "files")]


@pytest.mark.parametrize(("free", "verdict"), [(5 * GIB, "advice"), (50 * GIB, "ok")])
def test_little_space_for_models_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, verdict: str
) -> None:
    """That of the directory's file system, also where it does not exist yet."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, free) if path == tmp_path else None)
    (finding,) = storage.cache(Settings(cache_path=tmp_path / "a" / "b"))
    assert finding.verdict == verdict


def test_cache_that_cannot_be_written_is_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Conversions would fail."""
    monkeypatch.setattr("os.access", lambda *_: False)
    (finding,) = storage.cache(Settings(cache_path=tmp_path))
    assert (finding.verdict, finding.todo) == ("problem", "set LLM_CACHE_PATH")
