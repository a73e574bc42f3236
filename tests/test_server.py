"""What the server's process is made of."""

import subprocess
import sys


def test_servers_process_loads_nothing_that_computes() -> None:
    """llama.cpp and the rest of what a model needs belong to the workers' processes; e2e/test_imports.py has more."""
    heavy = ("llama_cpp", "llguidance", "tokenizers", "gguf", "ctransformers", "jinja2", "huggingface_hub", "numpy")
    program = f"import sys, llm_inference_api.server; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
