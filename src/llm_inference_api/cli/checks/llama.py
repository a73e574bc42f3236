"""Checks of llama.cpp, in a process of its own: a library that does not fit may end it."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from llm_inference_api.cli.checks.finding import Finding
from llm_inference_api.config.settings import Settings
from llm_inference_api.models.llama_library import HOW_TO_GET_RPC, VARIABLE
from llm_inference_api.models.rpc_servers import NoAnswerError, RpcServer

_ABOUT = "llm_inference_api.backends.llama.about"
_SECONDS = 60
_GPUS = {
    "/dev/nvidia0": ("an NVIDIA GPU", "-DGGML_CUDA=on"),
    "/dev/kfd": ("an AMD GPU", "-DGGML_HIP=on"),
}
"""What a device file stands for, and the option of llama.cpp's build that uses it."""


def llama(settings: Settings) -> Iterator[Finding]:
    """Yields the version of llama.cpp, what it uses of the processor, and the GPUs that it finds."""
    environment = dict(os.environ)
    if settings.llama_library is not None:
        environment[VARIABLE] = str(settings.llama_library.absolute())
    command = [sys.executable, "-m", _ABOUT]
    try:
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        yield Finding("problem", "llama.cpp", f"it did not load within {_SECONDS} s", "see docs/troubleshooting.md")
        return
    if ran.returncode:
        last = (ran.stderr.strip().splitlines() or [f"its process ended with {ran.returncode}"])[-1]
        if settings.llama_library is None:
            yield Finding("problem", "llama.cpp", last, "install llama-cpp-python anew: `make run` compiles it")
        else:
            yield Finding("problem", "llama.cpp", f"{settings.llama_library}: {last}", "correct LLM_LLAMA_LIBRARY")
        return
    about = json.loads(ran.stdout.splitlines()[-1])
    yield Finding("ok", "llama.cpp", f"{about['llama']}, llama-cpp-python {about['bindings']}, {about['library']}")
    yield from kernels(about["system"], has_amx_kernels=about["amx"])
    yield from gpus(about["gpus"], settings)
    if settings.rpc_servers:
        yield from rpc_servers(settings, has_rpc=about["rpc"])


def rpc_servers(settings: Settings, *, has_rpc: bool) -> Iterator[Finding]:
    """Yields whether models can be computed by the servers, and what memory they have free."""
    if not has_rpc:
        yield Finding("problem", "RPC", "this build of llama.cpp has no RPC backend", HOW_TO_GET_RPC)
    for server in settings.rpc_servers:
        try:
            free = asyncio.run(_free_memory(server))
        except NoAnswerError as problem:
            todo = "start ggml-rpc-server there, or correct LLM_RPC_SERVERS"
            yield Finding("problem", "RPC", f"{server}: {problem}", todo)
        else:
            yield Finding("ok", "RPC", f"{server}, {free / (1 << 30):.1f} GiB free")


async def _free_memory(endpoint: str) -> int:
    return await RpcServer(endpoint).free_memory()


def kernels(system: str, *, has_amx_kernels: bool, cpuinfo: Path = Path("/proc/cpuinfo")) -> Iterator[Finding]:
    """Yields what llama.cpp uses of the processor, as `About.system` has it, beside what the processor has."""
    parts = [part.partition("=") for part in system.split("|")]
    used = [name.rpartition(":")[2].strip() for name, _, value in parts if value.strip() == "1"]
    names = ", ".join(used)
    flags = cpuinfo.read_text() if cpuinfo.exists() else ""
    if " avx2" in flags and "AVX2" not in used:
        todo = "compile it on this machine (make run does), with -DGGML_NATIVE=ON"
        yield Finding("advice", "kernels", f"{names or 'plain'}; the processor has AVX2 too", todo)
    elif " amx_tile" in flags and not has_amx_kernels:
        todo = "see docs/troubleshooting.md on AMX: GCC before 13 miscompiles these kernels"
        yield Finding("advice", "kernels", f"{names}; the processor's AMX is not used", todo)
    else:
        yield Finding("ok", "kernels", names)


def gpus(names: list[str], settings: Settings) -> Iterator[Finding]:
    """Yields the GPUs that llama.cpp found, or one that it cannot use."""
    if names:
        used = "used" if settings.gpu_layers != 0 else "not used: LLM_GPU_LAYERS is 0"
        yield Finding("ok", "GPUs", f"{', '.join(names)}, {used}")
        return
    for device, (kind, option) in _GPUS.items():
        if Path(device).exists():
            todo = f"compile it with CMAKE_ARGS={option}: see docs/deployment.md"
            yield Finding("advice", "GPUs", f"there is {kind}, and this llama.cpp cannot use it", todo)
            return
    yield Finding("ok", "GPUs", "none; the processor computes")
