"""What this build of llama.cpp is, and what it finds on this machine.

Run as `python -m llm_inference_api.backends.llama.about` it prints that as one JSON object, or what is wrong to stderr,
and ends with 1.
"""

import json
import sys
from importlib.metadata import version
from typing import TypedDict

import llama_cpp.llama_cpp as C

from llm_inference_api.backends.llama.devices import gpu_names, has_working_amx, load_backends
from llm_inference_api.backends.llama.library import LLAMA_VERSION
from llm_inference_api.backends.llama.rpc_servers import rpc_backend
from llm_inference_api.errors import ModelFailedError


class About(TypedDict):
    """A build of llama.cpp."""

    bindings: str
    """Version of llama-cpp-python."""
    llama: str
    """Version of llama.cpp."""
    library: str
    """Path of libllama."""
    system: str
    """What the backends use of this machine, in llama.cpp's words: `CPU : SSE3 = 1 | AVX2 = 1 | …`."""
    amx: bool
    """Whether AMX kernels may be used, where the processor has them."""
    gpus: list[str]
    """Names of GPU devices."""
    rpc: bool
    """Whether it has the RPC backend."""


def about() -> About:
    """Loads the backends and returns what they are. Raises ModelFailedError if they cannot serve a model."""
    load_backends()
    return About(
        bindings=version("llama-cpp-python"),
        llama=LLAMA_VERSION,
        library=str(C._lib._name),  # noqa: SLF001
        system=C.llama_print_system_info().decode(errors="replace").strip(" |\n"),
        amx=has_working_amx(),
        gpus=list(gpu_names()),
        rpc=bool(rpc_backend()),
    )


if __name__ == "__main__":
    try:
        print(json.dumps(about()))  # noqa: T201 - its output
    except ModelFailedError as error:
        sys.exit(str(error))
