"""Backend for GGUF models: llama.cpp. Only this package imports llama_cpp.

Of llama-cpp-python only the bindings, `llama_cpp.llama_cpp`: what its package imports beside them, an interface of its
own with handlers of chats, takes 0.1 s and 11 MiB of each process. llguidance finds their names in the package, where
they are by its own import too.
"""

import importlib
import importlib.util
import sys

if "llama_cpp" not in sys.modules and (_found := importlib.util.find_spec("llama_cpp")):
    _package = sys.modules["llama_cpp"] = importlib.util.module_from_spec(_found)
    _bindings = vars(importlib.import_module("llama_cpp.llama_cpp"))
    vars(_package).update({name: value for name, value in _bindings.items() if not name.startswith("_")})
