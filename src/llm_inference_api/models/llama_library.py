"""Has the workers open a libllama of the operator's choice, and checks what it has."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from llm_inference_api.errors import StartError

VARIABLE = "LLAMA_CPP_LIB_PATH"
"""Of llama-cpp-python; read when it is imported."""
HOW_TO_GET_RPC = "`make llama-rpc` compiles it, and says what to set LLM_LLAMA_LIBRARY to (docs/models.md)"
_CHECK = "llm_inference_api.backends.llama.library"
_RPC_CHECK = "llm_inference_api.backends.llama.rpc_servers"
_TIMEOUT = 60
"""Seconds."""


def use_library(directory: Path) -> None:
    """Makes all child processes that are started from now on open the libllama in this directory.

    Blocks until a process has opened it and compared it with what llama-cpp-python's bindings expect.

    Raises:
        StartError: It cannot be opened, or does not fit the bindings.
    """
    environment = {**os.environ, VARIABLE: str(directory.absolute())}
    if problem := _problem(_CHECK, environment):
        raise StartError(f"LLM_LLAMA_LIBRARY: {directory}: {problem}")
    os.environ.update(environment)


def check_rpc() -> None:
    """Blocks until a process has found the RPC backend of the libllama that workers open. Raises StartError if none."""
    if problem := _problem(_RPC_CHECK, os.environ):
        raise StartError(f"LLM_RPC_SERVERS: {problem}; {HOW_TO_GET_RPC}")


def _problem(check: str, environment: Mapping[str, str]) -> str:
    """Returns what a module that checks the library says, in a process of its own; empty if nothing is wrong."""
    command = [sys.executable, "-m", check]
    try:
        subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT, check=True)  # noqa: S603
    except subprocess.CalledProcessError as error:
        said: list[str] = error.stderr.strip().splitlines() or [f"the check ended with {error.returncode}"]
        return said[-1]
    except subprocess.TimeoutExpired:
        return f"the library could not be opened within {_TIMEOUT} s"
    return ""
