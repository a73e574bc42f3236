"""llama.cpp's RPC backend: programs on other machines, whose devices hold and compute layers of a model.

The backend is compiled in (GGML_RPC), or it is a plugin beside libllama, as `make llama-rpc` compiles it.

Run as `python -m llm_inference_api.backends.llama.rpc_servers` it ends with 1 where there is none.
"""

import ctypes
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import llama_cpp.llama_cpp as C

from llm_inference_api.backends.llama.devices import load_backends
from llm_inference_api.backends.llama.library import function
from llm_inference_api.errors import ModelFailedError

_NAME = b"RPC"
_PLUGIN = "libggml-rpc.so"
_ADD = b"ggml_backend_rpc_add_server"
_LOST = ("Remote RPC server crashed", "Failed to connect to ", "RPC handshake failed")
"""What ggml-rpc.cpp says before it aborts the process, which it does for anything that befalls a connection."""

_backend = function("ggml_backend_reg_by_name", ctypes.c_void_p, ctypes.c_char_p)
_load = function("ggml_backend_load", ctypes.c_void_p, ctypes.c_char_p)
_register = function("ggml_backend_register", None, ctypes.c_void_p)
_address = function("ggml_backend_reg_get_proc_address", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)


def add_rpc_servers(endpoints: Sequence[str]) -> None:
    """Adds the devices of servers, `host:port`, to those that a model is offloaded to; they precede this machine's.

    Once the backends are loaded. Aborts the process if a server does not answer.

    Raises:
        ModelFailedError: llama.cpp has no RPC backend here, or a server has no device.
    """
    if not endpoints:
        return
    backend = rpc_backend()
    if not backend:
        raise ModelFailedError("llama.cpp has no RPC backend, which LLM_RPC_SERVERS needs")
    add = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_char_p)(_address(backend, _ADD))
    for number, endpoint in enumerate(endpoints, 1):
        server = add(endpoint.encode())
        if not server:
            raise ModelFailedError(f"server {number} of LLM_RPC_SERVERS has no device")
        _register(server)


def rpc_backend() -> int:
    """Returns a pointer to the RPC backend; 0 if there is none. Loads its plugin."""
    plugin = Path(C._lib._name).parent / _PLUGIN  # noqa: SLF001
    found = _backend(_NAME) or (_load(os.fsencode(plugin)) if plugin.exists() else None)
    return int(found or 0)


def tells_lost_server(message: str) -> bool:
    """Returns whether the process aborts since the connection to a server is lost, by the message of its abort."""
    return any(words in message for words in _LOST)


if __name__ == "__main__":
    load_backends()
    if not rpc_backend():
        sys.exit("this build of llama.cpp has no RPC backend")
