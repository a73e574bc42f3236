"""Processes of llama.cpp's ggml-rpc-server."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from llm_inference_api.models.rpc_servers import RpcServer, all_answer
from tests.fakes.ports import free_port
from tests.models.test_llama_library import installed

PROJECT = Path(__file__).parents[2]
_SECONDS = 60.0


def library() -> Path:
    """Returns the directory of llama.cpp with its RPC backend: LLAMA_RPC_LIBRARY, or one that is compiled once."""
    if given := os.environ.get("LLAMA_RPC_LIBRARY"):
        return Path(given).absolute()
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "llm-inference-api" / "llama-rpc"
    script = PROJECT / "tools" / "llama_rpc" / "build.sh"
    build = sha256(
        (installed() / "libggml-base.so").read_bytes()
        + b"".join(path.read_bytes() for path in sorted(script.parent.iterdir()))
    ).hexdigest()[:12]
    directory = cache / build
    if not (directory / ".built").exists():
        environment = {**os.environ, "PYTHON": sys.executable}
        subprocess.run([script, cache, directory], env=environment, check=True)
        (directory / ".built").touch()
    return directory


@dataclass
class Server:
    """One server, which may not run."""

    library: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns when it answers; fails when that takes too long."""
        command = [self.library / "ggml-rpc-server", "-H", "127.0.0.1", "-p", str(self.port), "-t", "1"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + _SECONDS
        while not asyncio.run(self._answers()):
            assert time.monotonic() < deadline, f"no answer within {_SECONDS} s"

    async def _answers(self) -> bool:
        return await all_answer((RpcServer(self.endpoint),))

    def kill(self) -> None:
        """Ends it as a crash does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextmanager
def two_servers() -> Iterator[tuple[Server, Server]]:
    """Yields two servers that answer."""
    found = library()
    servers = Server(found, free_port()), Server(found, free_port())
    try:
        for server in servers:
            server.start()
        yield servers
    finally:
        for server in servers:
            server.kill()
