"""Checks the CPU variants of llama.cpp: serves the demo model on this processor and on emulated ones.

Run as `python -m tools.cpu_variants [native|PROCESSOR]...`; the processors are those of `qemu-x86_64 -cpu help`
(Debian's package qemu-user). All processes of the service are emulated.
"""

import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc

from llm_inference.v1 import inference_pb2, inference_pb2_grpc

PROCESSORS = ("native", "Haswell", "Nehalem")
EMULATOR = "qemu-x86_64"
START_SECONDS = 300
"""An emulated service starts in about half a minute on an idle machine."""
SERVE = """
import multiprocessing, sys
multiprocessing.set_executable(sys.argv.pop(1))
from llm_inference_api.cli.main import main
main()
"""


def main(processors: list[str]) -> int:
    """Prints a line for each processor; returns the number of those without an answer."""
    failed = 0
    for processor in processors:
        with tempfile.TemporaryDirectory() as directory:
            answer, log = ask_on(processor, Path(directory))
        backend = re.search(r"loaded CPU backend from [^\"]*/(libggml-cpu[^\"/\s]*)", log)
        print(f"{processor:12} {backend[1] if backend else 'compiled in':30} {answer}", flush=True)
        failed += not answer.startswith("OK")
    return failed


def ask_on(processor: str, directory: Path) -> tuple[str, str]:
    """Returns the answer, or the error, of a service on a processor, and its log."""
    log = directory / "log"
    with (
        serving(interpreter(processor, directory), log) as (process, address),
        grpc.insecure_channel(address) as channel,
    ):
        answer = ask(channel) if is_ready(channel, process) else f"no service: {log.read_text()[-500:]}"
    return answer, log.read_text()


def is_ready(channel: grpc.Channel, process: subprocess.Popen[bytes]) -> bool:
    """Returns whether the service gets ready; False where its process ends or START_SECONDS pass."""
    ready, deadline = grpc.channel_ready_future(channel), time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(grpc.FutureTimeoutError):
            ready.result(1)
            return True
    return False


def ask(channel: grpc.Channel) -> str:
    """Returns "OK" with the demo model's answer to a question, or the error."""
    message = inference_pb2.ChatMessage(role="user", content="What is 2+2?")
    request = inference_pb2.ChatRequest(messages=[message], temperature=0)
    started = time.monotonic()
    try:
        answer = inference_pb2_grpc.InferenceServiceStub(channel).Chat(request, timeout=START_SECONDS)
    except grpc.RpcError as error:
        return f"{error.code().name}: {error.details()}"
    return f"OK {answer.message.content!r} after {time.monotonic() - started:.1f} s"


def interpreter(processor: str, directory: Path) -> str:
    """Returns the path of a Python interpreter for a processor.

    A program that an emulated process executes is not emulated. The service therefore starts its processes with this
    path, which for an emulated processor is a script that starts the emulator.
    """
    if processor == "native":
        return sys.executable
    wrapper = directory / "python"
    wrapper.write_text(f'#!/bin/sh\nexec {EMULATOR} -cpu {shlex.quote(processor)} {shlex.quote(sys.executable)} "$@"\n')
    wrapper.chmod(0o755)
    return str(wrapper)


@contextmanager
def serving(python: str, log: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Yields the process and the gRPC address of a service with the demo model."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    variables = {
        "LLM_INFERENCE_HOSTNAME": "127.0.0.1",
        "LLM_GRPC_PORT": str(port),
        "LLM_STEP_TIMEOUT": str(START_SECONDS),
        "LLM_THREADS": "1",
        "LLM_LAME_DUCK": "0",
        "LOG_LEVEL": "DEBUG",
        "OPENBLAS_CORETYPE": "Nehalem",  # As in the image.
    }
    others = {name: value for name, value in os.environ.items() if not name.startswith("LLM_")}
    command = [python, "-c", SERVE, python, "serve", "--no-envoy"]
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own command line
            command, env={**others, **variables}, stdout=output, stderr=output
        )
    try:
        yield process, f"127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(PROCESSORS)) != 0)
