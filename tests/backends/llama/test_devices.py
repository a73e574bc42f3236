"""llama.cpp with its backends compiled in, and as plugins."""

import subprocess
import sys
from pathlib import Path

import pytest

from llm_inference_api.backends.llama import devices as llama_backends
from llm_inference_api.backends.llama.devices import PLUGIN_DIRECTORY, load_backends
from llm_inference_api.errors import ModelFailedError

has_plugins = bool(list(PLUGIN_DIRECTORY.glob("libggml-cpu-*.so")))

IMPORT = "from llm_inference_api.backends.llama.devices import load_backends"
LOAD_TWICE = """
from llm_inference_api.backends.llama.devices import _backend_count, load_backends
load_backends()
first = _backend_count()
load_backends()
assert first == _backend_count() >= 1, (first, _backend_count())
"""


def test_backends_are_loaded_once() -> None:
    """However many models a process loads, each backend is registered once."""
    subprocess.run([sys.executable, "-c", LOAD_TWICE], check=True, timeout=60)


def test_processor_without_a_backend_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A build whose plugins are missing says so, and how to build one that runs; llama.cpp would abort later."""
    searched: list[bytes] = []
    monkeypatch.setattr(llama_backends, "_backend_count", lambda: 0)
    monkeypatch.setattr(llama_backends, "_load_backends", searched.append)
    monkeypatch.setattr(llama_backends, "_device_of_type", lambda kind: None)
    with pytest.raises(ModelFailedError, match="GGML_CPU_ALL_VARIANTS=ON"):
        load_backends(tmp_path)
    assert searched == [bytes(tmp_path)]


@pytest.mark.skipif(not has_plugins, reason="llama.cpp is compiled without plugins here; see tools/cpu_variants")
def test_directory_without_plugins_is_an_error(tmp_path: Path) -> None:
    """The same with the real library, in a process that has loaded none."""
    program = f"{IMPORT}; from pathlib import Path; load_backends(Path({str(tmp_path)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert "ModelFailedError: llama.cpp has no backend for this processor" in done.stderr
