"""A libllama of the operator's choice."""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from llm_inference_api.errors import StartError
from llm_inference_api.models.llama_library import check_rpc, use_library


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", os.environ.copy())


def installed() -> Path:
    """Returns the directory of llama-cpp-python's library."""
    spec = find_spec("llama_cpp")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "lib"


def test_library_that_fits_is_used_by_later_processes(tmp_path: Path) -> None:
    """Wherever it lies."""
    directory = tmp_path / "lib"
    directory.symlink_to(installed())
    use_library(directory)
    assert os.environ["LLAMA_CPP_LIB_PATH"] == str(directory)


def test_directory_without_a_library_is_refused(tmp_path: Path) -> None:
    """By the setting and the directory."""
    with pytest.raises(StartError, match=rf"LLM_LLAMA_LIBRARY: .*{tmp_path}: .*not found"):
        use_library(tmp_path)
    assert "LLAMA_CPP_LIB_PATH" not in os.environ


def test_file_that_is_no_library_is_refused(tmp_path: Path) -> None:
    """Before anything is served."""
    (tmp_path / "libllama.so").write_text("no library")
    with pytest.raises(StartError, match=r"LLM_LLAMA_LIBRARY: .*libllama\.so"):
        use_library(tmp_path)


def test_library_without_rpc_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With how to get one that has it."""
    for library in installed().iterdir():
        if "rpc" not in library.name:
            (tmp_path / library.name).symlink_to(library)
    monkeypatch.setenv("LLAMA_CPP_LIB_PATH", str(tmp_path))
    with pytest.raises(StartError, match=r"LLM_RPC_SERVERS: .*no RPC backend; `make llama-rpc` compiles it"):
        check_rpc()
