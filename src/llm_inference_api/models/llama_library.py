"""Has the workers open a libllama of the operator's choice."""

import os
import subprocess
import sys
from pathlib import Path

from llm_inference_api.errors import StartError

VARIABLE = "LLAMA_CPP_LIB_PATH"
"""Of llama-cpp-python; read when it is imported."""
_CHECK = "llm_inference_api.backends.llama.library"
_TIMEOUT = 60
"""Seconds."""


def use_library(directory: Path) -> None:
    """Makes all child processes that are started from now on open the libllama in this directory.

    Blocks until a process has opened it and compared it with what llama-cpp-python's bindings expect.

    Raises:
        StartError: It cannot be opened, or does not fit the bindings.
    """
    environment = {**os.environ, VARIABLE: str(directory.absolute())}
    command = [sys.executable, "-m", _CHECK]
    try:
        subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT, check=True)  # noqa: S603
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip().splitlines() or [f"the check ended with {error.returncode}"]
        raise StartError(f"LLM_LLAMA_LIBRARY: {directory}: {said[-1]}") from error
    except subprocess.TimeoutExpired as error:
        raise StartError(f"LLM_LLAMA_LIBRARY: {directory} could not be opened within {_TIMEOUT} s") from error
    os.environ.update(environment)
