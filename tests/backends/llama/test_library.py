"""Which libllama is taken, and which is refused by name."""

import ctypes
import subprocess
import sys
from typing import Any

import pytest

from llm_inference_api.backends.llama import library as subject
from llm_inference_api.backends.llama.library import C, check_library, problems
from llm_inference_api.errors import ModelFailedError


class Function:
    """A function of a library: answers with `result`, or writes it to the buffer that it is given."""

    def __init__(self, result: Any) -> None:
        self._result = result

    def __call__(self, *buffer: Any) -> Any:
        if not buffer:
            return self._result
        ctypes.memmove(buffer[0], bytes(self._result), ctypes.sizeof(self._result))
        return None


def library(**changed: Any) -> dict[str, Function]:
    """Returns the functions of a libllama that fits but for what is changed."""
    results = {"llama_version": b"0.5.0-dev", "ggml_version": b"0.25.3"}
    results |= {defaults.function: getattr(C, defaults.function)() for defaults in subject.DEFAULTS}
    return {name: Function(result) for name, result in {**results, **changed}.items()}


def test_installed_library_fits() -> None:
    """The expected versions, sizes and defaults are those of the pinned llama-cpp-python."""
    check_library()
    assert list(problems(library())) == []


def test_other_version_is_refused() -> None:
    """By its name and the one that is needed."""
    assert list(problems(library(ggml_version=b"0.24.0"))) == ["ggml_version is 0.24.0; 0.25.3 is needed"]


@pytest.mark.skipif(not subject._RETURNS_BY_POINTER, reason="the size cannot be measured here")
def test_longer_structure_is_refused() -> None:
    """The library would write past the end of what the bindings reserve."""
    longer = (ctypes.c_ubyte * 168)(*[1] * 168)
    (problem,) = problems(library(llama_context_default_params=longer))
    assert problem == "llama_context_params has 168 bytes; 160 are needed"


def test_moved_field_is_refused() -> None:
    """Where the size is the same and the fields are not, their defaults tell."""
    moved = C.llama_context_default_params()
    moved.n_seq_max, moved.n_rs_seq = 0, 1
    (problem,) = problems(library(llama_context_default_params=moved))
    assert problem == "llama_context_params.n_seq_max is 0 by default; 1 is needed"


def test_refusal_names_the_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator finds the library that was opened."""
    monkeypatch.setattr(subject, "LLAMA_VERSION", "0.6.0")
    with pytest.raises(ModelFailedError, match=r"llama_cpp/lib does not fit .*llama_version is 0\.5\.0"):
        check_library()


_MAPPED = """
import re
import llm_inference_api.backends.llama.backend
print(*sorted(set(re.findall(r"/libggml\\.so\\S*", open("/proc/self/maps").read()))))
"""


def test_backend_opens_ggml_once() -> None:
    """A second copy, such as that in llama-cpp-python's package, has devices of its own, and need not be there."""
    done = subprocess.run([sys.executable, "-c", _MAPPED], capture_output=True, text=True, timeout=60, check=True)
    assert len(done.stdout.split()) == 1, done.stdout
