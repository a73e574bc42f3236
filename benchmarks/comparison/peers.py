"""How each server is started and asked. All get the same file, threads, answers at once, and cells of the cache."""

import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.comparison.answers import Answer, UnusableError
from benchmarks.comparison.clients import (
    Client,
    CompletionsClient,
    GrpcClient,
    OnText,
    RestClient,
    UncountedCompletionsClient,
    ignore_text,
)
from benchmarks.comparison.models import ModelFile
from benchmarks.comparison.processes import ServerProcess, answers_ok
from tests.fakes.ports import free_port

MODEL = "bench"
"""The model's name at each server."""
_SERVE = "from llm_inference_api.cli.main import main; main()"
_SETTINGS = ("LLM_", "INFRS_", "LLAMA_ARG_")
"""Variables that begin so would make a server another one than that of the table."""
_KEPT = ("LLM_LLAMA_LIBRARY",)
"""Where the service finds llama.cpp."""
_LIBRARY = Path(__file__).with_name("library.py")


@dataclass(frozen=True)
class Setup:
    """What all servers of a run share."""

    tools: Path
    """Directory of llama.cpp's programs and of the peers' Python."""
    threads: int
    logs: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    """Further settings of the service."""
    address: str = ""
    """Of a service that runs already, over gRPC, which is then measured alone."""

    @property
    def python(self) -> Path:
        """The interpreter with the peers' packages."""
        return self.tools / "peers" / "bin" / "python"

    def program(self, name: str) -> str:
        """Returns the path of one of llama.cpp's programs."""
        return str(self.tools / "bin" / name)


@dataclass(frozen=True)
class Launch:
    """How a server is started and asked."""

    command: Sequence[str]
    clients: Mapping[str, Callable[[ServerProcess], Client]]
    """By wire."""
    port: int = 0
    """Where it says that it is ready; 0 if it says `ready` on its standard output."""
    ready_path: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Column:
    """One way to ask one server."""

    name: str
    title: str
    server: str
    """Key of LAUNCHES."""
    wire: str = "v1"
    own_prompts: str = ""
    """Tells its prompts from those of the server's other wires, which share its cache; the first one has none."""
    is_parallel: bool = True
    """Whether it computes several answers at once."""
    is_server: bool = True
    """Whether it has an admission and a health check."""


GRPC, REST, V1, LLAMA_SERVER = "grpc", "rest", "v1", "llama-server"
COLUMNS = {
    column.name: column
    for column in (
        Column(GRPC, "gRPC", "service", "grpc"),
        Column(REST, "REST", "service", "rest", REST),
        Column(V1, "`/v1`", "service", own_prompts=V1),
        Column(LLAMA_SERVER, "llama-server, tuned", "llama-server"),
        Column("llama-server-default", "llama-server, default", "llama-server-default"),
        Column("llama_cpp.server", "llama_cpp.server", "llama_cpp.server", is_parallel=False),
        Column("ctransformers", "ctransformers", "ctransformers", "library", is_parallel=False, is_server=False),
        Column("mistralrs", "mistral.rs", "mistralrs", "library", is_parallel=False, is_server=False),
    )
}


class Server:
    """A running server with its clients."""

    def __init__(self, process: ServerProcess | None, clients: Mapping[str, Client]) -> None:
        self.process, self.clients = process, clients

    async def stop(self) -> None:
        """Closes the clients, and ends the server if it was started here."""
        for client in self.clients.values():
            await client.close()
        if self.process:
            await self.process.stop()


async def start(name: str, setup: Setup, model: ModelFile) -> Server:
    """Returns a server that is ready.

    Raises:
        StartError: It cannot serve this model.
    """
    if setup.address:
        return Server(None, {"grpc": GrpcClient(setup.address, model.name)})
    launch = LAUNCHES[name](setup, model)
    inherited = {name: value for name, value in os.environ.items() if name in _KEPT or not name.startswith(_SETTINGS)}
    log = setup.logs / f"{name}-{model.name}.log"
    process = await ServerProcess.start(
        launch.command, inherited | dict(launch.environment), log, talks=not launch.port
    )
    try:
        await process.wait(_probe(process, launch))
    except BaseException:
        await process.stop()
        raise
    return Server(process, {wire: client(process) for wire, client in launch.clients.items()})


def _probe(process: ServerProcess, launch: Launch) -> Callable[[], Awaitable[bool]]:
    async def ready() -> bool:
        if launch.port:
            return await answers_ok(launch.port, launch.ready_path)
        assert process.process.stdout is not None
        return b'"ready"' in await process.process.stdout.readline()

    return ready


def _service(setup: Setup, model: ModelFile) -> Launch:
    rest, grpc = free_port(), free_port()
    variables = {
        "LLM_MODEL_PATH": str(model.path.parent),
        "LLM_ALLOWED_MODELS": f"{MODEL}={model.path.name}",
        "LLM_INFERENCE_HOSTNAME": "127.0.0.1",
        "LLM_INFERENCE_PORT": str(rest),
        "LLM_GRPC_PORT": str(grpc),
        "LLM_THREADS": str(setup.threads),
        "LLM_MAX_CONCURRENT_REQUESTS": str(model.slots),
        "LLM_KV_CACHE_TOKENS": str(model.cells),
        "LLM_CONTEXT_LENGTH": str(model.context),
        "LLM_LAME_DUCK": "0",
        "LOG_LEVEL": "WARNING",
    }
    return Launch(
        command=(sys.executable, "-c", _SERVE, "serve"),
        environment=variables | dict(setup.environment),
        port=rest,
        ready_path="/health/ready",
        clients={
            "grpc": lambda _: GrpcClient(f"127.0.0.1:{grpc}", MODEL),
            "rest": lambda _: RestClient(rest, MODEL, "/health/ready"),
            "v1": lambda _: CompletionsClient(rest, MODEL, "/health/ready"),
        },
    )


def _llama_server(setup: Setup, model: ModelFile) -> Launch:
    """One cache for all slots, as the service has it."""
    threads = ("-t", str(setup.threads), "-tb", str(setup.threads))
    cache = ("-np", str(model.slots), "-c", str(model.cells), "--kv-unified")
    return _any_llama_server(setup, model, *threads, *cache)


def _llama_server_by_default(setup: Setup, model: ModelFile) -> Launch:
    return _any_llama_server(setup, model)


def _any_llama_server(setup: Setup, model: ModelFile, *options: str) -> Launch:
    port = free_port()
    where = ("--host", "127.0.0.1", "--port", str(port), "--no-ui")
    return Launch(
        command=(setup.program("llama-server"), "-m", str(model.path), "-a", MODEL, *where, *options),
        port=port,
        ready_path="/health",
        clients={"v1": lambda _: CompletionsClient(port, MODEL, "/health")},
    )


def _llama_cpp_server(setup: Setup, model: ModelFile) -> Launch:
    """By default a request ends the one that runs, and a prompt's scores are all computed; neither is wanted here."""
    port = free_port()
    options = {
        "model": str(model.path),
        "model_alias": MODEL,
        "host": "127.0.0.1",
        "port": str(port),
        "n_ctx": str(model.context),
        "n_threads": str(setup.threads),
        "n_threads_batch": str(setup.threads),
        "interrupt_requests": "false",
        "logits_all": "false",
        "verbose": "false",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    never = {str(token): -100 for token in model.closing_tokens()}
    return Launch(
        command=(str(setup.python), "-m", "llama_cpp.server", *words),
        port=port,
        ready_path="/v1/models",
        clients={"v1": lambda _: UncountedCompletionsClient(port, MODEL, "/v1/models", {"logit_bias": never})},
    )


def _library(name: str) -> Callable[[Setup, ModelFile], Launch]:
    def launch(setup: Setup, model: ModelFile) -> Launch:
        command = (str(setup.python), str(_LIBRARY), name, str(model.path), str(setup.threads))
        return Launch(command=command, clients={"library": LibraryClient})

    return launch


class LibraryClient:
    """A process of library.py, which answers one prompt after the other."""

    def __init__(self, process: ServerProcess) -> None:
        assert process.process.stdin is not None
        assert process.process.stdout is not None
        self._input, self._output = process.process.stdin, process.process.stdout

    async def ask(self, prompt: str, max_tokens: int, on_text: OnText = ignore_text) -> Answer:
        """Returns an answer; not to be called again before it is there."""
        answer, texts = Answer(time.perf_counter()), []
        self._input.write(json.dumps({"prompt": prompt, "max_tokens": max_tokens}).encode() + b"\n")
        while not answer.tokens:
            line = await self._output.readline()
            if not line:
                raise UnusableError("the library's process has ended")
            said = json.loads(line)
            if text := said.get("text"):
                answer.arrivals.append(time.perf_counter())
                texts.append(text)
                on_text()
            elif "tokens" in said:
                answer.tokens = said["tokens"]
        answer.ended, answer.text = time.perf_counter(), "".join(texts)
        answer.check(max_tokens)
        return answer

    async def health(self) -> None:
        """There is nothing to ask."""

    async def close(self) -> None:
        """It ends with its process."""


LAUNCHES: Mapping[str, Callable[[Setup, ModelFile], Launch]] = {
    "service": _service,
    "llama-server": _llama_server,
    "llama-server-default": _llama_server_by_default,
    "llama_cpp.server": _llama_cpp_server,
    "ctransformers": _library("ctransformers"),
    "mistralrs": _library("mistralrs"),
}
