"""llama.cpp's compute backends, compiled in or loaded as plugins, and their devices.

A build with GGML_BACKEND_DL has its backends as shared libraries beside libllama; with GGML_CPU_ALL_VARIANTS, one per
CPU variant. By default, llama.cpp looks for them beside the executable, which is Python's.
"""

import ctypes
import logging
import os
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as C

from llm_inference_api.backends.llama.library import check_library, function
from llm_inference_api.errors import ModelFailedError

PLUGIN_DIRECTORY = Path(C.__file__).parent / "lib"
_CPU_TYPE = 0
"""GGML_BACKEND_DEVICE_TYPE_CPU (ggml-backend.h)."""
_AMX = b"AMX"
"""Name of the buffer type that selects the AMX kernels (ggml-cpu/amx/amx.cpp)."""
_WORKING_AMX = "llm_inference_api_amx_works"
"""Symbol exported by builds with correctly compiled AMX kernels (tools/llama_build/amx_config.h)."""
_GPU_TYPES = (1, 2)
"""GGML_BACKEND_DEVICE_TYPE_GPU and _IGPU (ggml-backend.h)."""


logger = logging.getLogger(__name__)


_backend_count = function("ggml_backend_reg_count", ctypes.c_size_t)
_load_backends = function("ggml_backend_load_all_from_path", None, ctypes.c_char_p)
_device_count = function("ggml_backend_dev_count", ctypes.c_size_t)
_device = function("ggml_backend_dev_get", ctypes.c_void_p, ctypes.c_size_t)
_device_of_type = function("ggml_backend_dev_by_type", ctypes.c_void_p, ctypes.c_int)
_device_name = function("ggml_backend_dev_name", ctypes.c_char_p, ctypes.c_void_p)
_device_registry = function("ggml_backend_dev_backend_reg", ctypes.c_void_p, ctypes.c_void_p)
_registry_function = function("ggml_backend_reg_get_proc_address", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)
_buffer_type_name = function("ggml_backend_buft_name", ctypes.c_char_p, ctypes.c_void_p)
_device_type = function("ggml_backend_dev_type", ctypes.c_int, ctypes.c_void_p)


def load_backends(directory: Path = PLUGIN_DIRECTORY) -> None:
    """Initializes llama.cpp, and loads its backend plugins unless backends are compiled in.

    llama.cpp loads the best CPU variant for this processor.

    Args:
        directory: Directory of the plugins.

    Raises:
        ModelFailedError: There is no CPU backend, which every model needs, or libllama does not fit the bindings.
    """
    check_library()
    if not _backend_count():
        _load_backends(os.fsencode(directory))
    if not _device_of_type(_CPU_TYPE):
        raise ModelFailedError(
            "llama.cpp has no backend for this processor: it was built with plugins (GGML_BACKEND_DL), and no plugin "
            "supports it; build it with GGML_CPU_ALL_VARIANTS=ON, or without plugins on this machine"
        )
    C.llama_backend_init()
    if not has_working_amx():
        leave_out_buffer_type(_AMX)


def gpu_names() -> tuple[str, ...]:
    """Returns the names of llama.cpp's GPU devices, such as `CUDA0`, and those of RPC servers, such as `RPC0`."""
    devices = [_device(index) for index in range(_device_count())]
    return tuple(_device_name(device).decode() for device in devices if _device_type(device) in _GPU_TYPES)


def leave_out_buffer_type(name: bytes) -> None:
    """Removes a buffer type from the CPU's extra ones, for models loaded after this call; logs it if it was there."""
    types = _extra_buffer_types()
    kept = [kind for kind in types if _buffer_type_name(kind) != name]
    if len(kept) == len(types):
        return
    array = _extra_buffer_array()
    for index, kind in enumerate([*kept, None]):
        array[index] = kind
    logger.info("this build of llama.cpp computes without %s: see docs/troubleshooting.md", name.decode())


def has_working_amx(maps: Path = Path("/proc/self/maps")) -> bool:
    """Returns whether all CPU backends in memory have the symbol of correctly compiled AMX kernels.

    GCC bug 114098 miscompiles the kernels of other builds.
    """
    mapped = maps.read_text().splitlines() if maps.exists() else []
    libraries = {line.split()[-1] for line in mapped if "/libggml-cpu" in line}
    return all(hasattr(ctypes.CDLL(library), _WORKING_AMX) for library in libraries)


def _extra_buffer_types() -> list[int]:
    """Returns pointers to the CPU's extra buffer types, which llama.cpp prefers to the default one."""
    array = _extra_buffer_array()
    types: list[int] = []
    while array and array[len(types)]:
        types.append(int(array[len(types)]))
    return types


def _extra_buffer_array() -> Any:
    """Returns llama.cpp's null-terminated array of extra buffer types, or None. llama.cpp reads it at each load."""
    device = _device_of_type(_CPU_TYPE)
    address = _registry_function(_device_registry(device), b"ggml_backend_dev_get_extra_bufts")
    if not address:
        return None
    return ctypes.CFUNCTYPE(ctypes.POINTER(ctypes.c_void_p), ctypes.c_void_p)(address)(device)
