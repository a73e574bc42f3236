"""Checks the libllama that llama-cpp-python's bindings opened against what they were written for.

The bindings call it by structures whose layout is nowhere in the library. Another version of llama.cpp would read and
write past them, so it is refused before a model is loaded. LLAMA_CPP_LIB_PATH (LLM_LLAMA_LIBRARY) may name any library.

Run as `python -m llm_inference_api.backends.llama.library` it prints what is wrong to stderr and ends with 1.
"""

import ctypes
import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import llama_cpp.llama_cpp as C

from llm_inference_api.errors import ModelFailedError

LLAMA_VERSION = "0.5.0"
GGML_VERSION = "0.25.3"
"""Of the llama.cpp in the pinned llama-cpp-python."""


class Defaults(NamedTuple):
    """A function that returns a structure by value, and some of its fields from the first to the last."""

    function: str
    fields: Mapping[str, float]


DEFAULTS = (
    Defaults(
        "llama_model_default_params",
        {"n_gpu_layers": -1, "split_mode": 1, "load_mode": -1, "lazy_mode": 1, "vocab_only": False, "load_mtp": False}
        | {"use_extra_bufts": True},
    ),
    Defaults(
        "llama_context_default_params",
        {"n_ctx": 512, "n_batch": 2048, "n_ubatch": 512, "n_seq_max": 1, "n_outputs_max_per_seq": 1}
        | {"rope_scaling_type": -1, "flash_attn_type": -1, "yarn_ext_factor": -1.0, "defrag_thold": -1.0}
        | {"type_k": 1, "type_v": 1, "no_perf": True, "swa_full": True, "kv_unified": False, "n_samplers": 0},
    ),
    Defaults(
        "llama_model_quantize_default_params",
        {"nthread": 0, "ftype": 7, "allow_requantize": False, "quantize_output_tensor": True, "dry_run": False},
    ),
)
_RETURNS_BY_POINTER = platform.machine() in ("x86_64", "AMD64") and sys.platform != "win32"
"""Whether a large structure is returned through a pointer in the first argument (System V ABI), so that what a function
writes can be measured."""
_LARGEST = 1 << 12
"""Bytes; larger than any version's structures."""
_ALIGNMENT = 8
"""Bytes."""


def function(name: str, result: Any, *arguments: Any) -> Any:
    """Returns a function of libllama or of the ggml libraries that it is linked to, given the types of its signature.

    Not of llama_cpp._ggml: that opens the libggml.so of its own package, whichever libllama is used. A wheel has no
    symlinks, so it is a second copy of the libggml.so.0 that libllama is linked to, with a device registry of its own.
    """
    # Not an attribute of the library: those have one signature, which the bindings have set.
    return ctypes.CFUNCTYPE(result, *arguments)((name, C._lib))  # noqa: SLF001


def check_library() -> None:
    """Compares the library's versions and structures with those that the bindings expect.

    Raises:
        ModelFailedError: It is another version, or has another layout.
    """
    if problem := next(problems(), None):
        raise ModelFailedError(
            f"llama.cpp's library in {Path(C._lib._name).parent} does not fit llama-cpp-python: {problem}"  # noqa: SLF001
        )


def problems(library: Any = None) -> Iterator[str]:
    """Yields each difference between the library, or the one that the bindings opened, and what they expect."""
    library = library or C._lib  # noqa: SLF001
    for name, expected in (("llama_version", LLAMA_VERSION), ("ggml_version", GGML_VERSION)):
        version = library[name]
        version.restype = ctypes.c_char_p
        found = version().decode()
        if found.partition("-")[0] != expected:
            yield f"{name} is {found}; {expected} is needed"
    for defaults in DEFAULTS:
        structure = getattr(C, defaults.function).restype
        if _RETURNS_BY_POINTER:
            size = _size(library[defaults.function])
            if size != ctypes.sizeof(structure):
                yield f"{structure.__name__} has {size} bytes; {ctypes.sizeof(structure)} are needed"
                continue
        get = library[defaults.function]
        get.restype, get.argtypes = structure, []
        values = get()
        for field, expected_value in defaults.fields.items():
            if (found_value := getattr(values, field)) != expected_value:
                yield f"{structure.__name__}.{field} is {found_value} by default; {expected_value} is needed"


def _size(function: Callable[..., Any]) -> int:
    """Returns the size of the structure that the function writes, in bytes."""
    function.restype, function.argtypes = None, [ctypes.c_void_p]  # type: ignore[attr-defined]
    contents = []
    for fill in (b"\x00", b"\xff"):
        buffer = ctypes.create_string_buffer(fill * _LARGEST, _LARGEST)
        function(buffer)
        contents.append(buffer.raw)
    last = max((index for index, pair in enumerate(zip(*contents, strict=True)) if pair[0] == pair[1]), default=-1)
    return -(-(last + 1) // _ALIGNMENT) * _ALIGNMENT


if __name__ == "__main__":
    try:
        check_library()
    except ModelFailedError as error:
        sys.exit(str(error))
