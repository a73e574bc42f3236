"""Checks of processors, memory, limits and tools."""

import os
import platform
import resource
import shutil
from collections.abc import Iterator

from llm_inference_api.cli.checks.finding import Finding
from llm_inference_api.config.settings import Settings, available_processors
from llm_inference_api.models.memory_budget import available_memory, machine_memory
from llm_inference_api.processes.cgroups import memory_limit

_GIB = 1 << 30
_OPEN_FILES = 4096
"""Connections, pipes and files of a busy service."""
_COMPILERS = ("c++", "g++", "clang++")


def processors(settings: Settings) -> Iterator[Finding]:
    """Yields how many processors the service may use, and its threads."""
    usable, threads = available_processors(), settings.compute_threads
    says = f"{usable} of {os.cpu_count()} usable, {platform.machine()}; {threads} compute threads per model"
    if threads > usable:
        yield Finding(
            "advice", "processors", says, f"set LLM_THREADS to {usable} or less: more threads wait for each other"
        )
    else:
        yield Finding("ok", "processors", says)


def memory(settings: Settings) -> Iterator[Finding]:
    """Yields the memory for models, and what is free of it now."""
    budget = settings.memory_budget or available_memory()
    free = machine_memory("MemAvailable")
    whole = machine_memory()
    limit = min(memory_limit() or whole, whole)  # A group without a limit of its own may name a huge one.
    bound = f", limited to {limit / _GIB:.1f} GiB by a control group" if limit < whole else ""
    says = f"{whole / _GIB:.1f} GiB{bound}, {free / _GIB:.1f} GiB free; models may take {budget / _GIB:.1f} GiB"
    if budget > limit:
        yield Finding("problem", "memory", says, "set LLM_MEMORY_BUDGET to less than there is")
    elif budget > free:
        todo = "end what takes the rest, or lower LLM_MEMORY_BUDGET: models that do not fit are swapped, or killed"
        yield Finding("advice", "memory", says, todo)
    else:
        yield Finding("ok", "memory", says)


def open_files(_settings: Settings) -> Iterator[Finding]:
    """Yields the limit of open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    says = f"{soft} may be open"
    if soft < min(_OPEN_FILES, hard) or hard < _OPEN_FILES:
        yield Finding(
            "advice", "open files", says, f"raise the limit to {_OPEN_FILES} (ulimit -n): each connection takes one"
        )
    else:
        yield Finding("ok", "open files", says)


def compiler(_settings: Settings) -> Iterator[Finding]:
    """Yields the C++ compiler that installations of llama.cpp for this machine need."""
    found = next(filter(None, map(shutil.which, _COMPILERS)), None)
    if found is None:
        todo = "only needed to install anew: Debian's package g++, or LLM_LLAMA_LIBRARY for a compiled libllama"
        yield Finding("advice", "compiler", "there is no C++ compiler", todo)
    else:
        yield Finding("ok", "compiler", found)
