"""Directories of runs: private, and removed once their run is over, however it ended."""

import os
from pathlib import Path

import pytest

from llm_inference_api.envoy.run_directory import RunDirectory, remove_abandoned
from llm_inference_api.errors import StartError


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary directories are made."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def abandon(directory: RunDirectory) -> Path:
    """Unlocks the directory without removing it, as the kernel does for a killed process."""
    removal = directory._remove.detach()
    assert removal is not None
    _, _, (path, lock), _ = removal
    os.close(lock)
    return Path(path)


def test_directory_is_private_and_removed() -> None:
    """Other users can neither read nor enter it."""
    directory = RunDirectory()
    assert directory.path.stat().st_mode & 0o777 == 0o700
    directory.close()
    assert not directory.path.exists()


def test_abandoned_directory_is_removed_by_the_next_run() -> None:
    """With everything in it."""
    left = abandon(RunDirectory())
    (left / "bootstrap.json").touch()
    RunDirectory().close()
    assert not left.exists()


def test_directory_of_a_running_service_stays() -> None:
    """Its lock is held."""
    running = RunDirectory()
    RunDirectory().close()
    assert running.path.is_dir()
    running.close()


def test_what_is_no_abandoned_run_stays(tmp_path: Path) -> None:
    """A directory without a lock, a link to one with a lock, and one whose lock is a link."""
    (tmp_path / "llm-inference-api-other").mkdir()
    target = tmp_path / "elsewhere"
    target.mkdir()
    (target / "lock").touch()
    (tmp_path / "llm-inference-api-link").symlink_to(target)
    linked = tmp_path / "llm-inference-api-linked"
    linked.mkdir()
    (linked / "lock").symlink_to(target / "lock")
    before = sorted(tmp_path.rglob("*"))
    remove_abandoned(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user's directory")
def test_directory_of_another_user_stays(tmp_path: Path) -> None:
    """Even root leaves it alone."""
    theirs = abandon(RunDirectory())
    os.chown(theirs, 65534, 65534)
    remove_abandoned(tmp_path)
    assert theirs.is_dir()


def test_temporary_directory_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator learns which variable to set."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(StartError, match="TMPDIR"):
        RunDirectory()
