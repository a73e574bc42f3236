"""What all tests share."""

from pathlib import Path

import pytest

from tests.fakes.gguf import write_tiny_model


@pytest.fixture(scope="session")
def model_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a tiny model in `tiny.gguf`, one without a chat template, and files that are no models."""
    directory = tmp_path_factory.mktemp("models")
    tiny = write_tiny_model(directory / "tiny.gguf")
    write_tiny_model(directory / "plain.gguf", template=None, seed=1)
    write_tiny_model(directory / "nan.gguf", value=float("nan"))
    (directory / "empty.gguf").touch()
    (directory / "truncated.gguf").write_bytes(tiny.read_bytes()[: tiny.stat().st_size // 2])
    (directory / "garbage.gguf").write_bytes(b"<html>not a model</html>" * 1000)
    return directory


@pytest.fixture(scope="session")
def tiny_model(model_directory: Path) -> Path:
    """The tiny model's path."""
    return model_directory / "tiny.gguf"
