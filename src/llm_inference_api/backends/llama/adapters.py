"""LoRA adapters of a loaded model. llama.cpp applies them per context, so all rows of a forward have the same."""

import ctypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as C

from llm_inference_api.backends.llama.error_lines import first_error
from llm_inference_api.errors import ModelFailedError
from llm_inference_api.requests.adapters import Adapter, Adapters


class LlamaAdapters:
    """Adapters by id."""

    def __init__(self, model: Any, files: Mapping[str, Path]) -> None:
        """Loads the files. Raises ModelFailedError, by id, for one that llama.cpp cannot apply to the model."""
        self._handles = {name: _load(model, name, path) for name, path in files.items()}

    @property
    def all(self) -> Adapters:
        """All adapters, as they are."""
        return tuple(Adapter(name) for name in sorted(self._handles))

    def apply(self, context: Any, adapters: Adapters) -> None:
        """Sets the adapters of the context's next forwards, which must be known."""
        count = len(adapters)
        pointers = (C.llama_adapter_lora_p_ctypes * count)(*(self._handles[adapter.id] for adapter in adapters))
        scales = (ctypes.c_float * count)(*(adapter.scale for adapter in adapters))
        status = C.llama_set_adapters_lora(context, pointers, count, scales)
        assert status == 0, status


def _load(model: Any, name: str, path: Path) -> Any:
    with first_error() as said:
        adapter = C.llama_adapter_lora_init(model, str(path).encode())
    if not adapter:
        raise ModelFailedError(said.after(f"llama.cpp cannot load the adapter {name!r}"))
    if C.llama_adapter_get_alora_n_invocation_tokens(adapter):
        raise ModelFailedError(f"the adapter {name!r} is an activated LoRA; only plain ones run here")
    return adapter
