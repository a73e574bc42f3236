"""Workers of tests: real ones with a fault in one place, and some that only say what workers say."""

import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Any

from llm_inference_api.engine.backend import BackendError
from llm_inference_api.engine.embedder import Embedder
from llm_inference_api.engine.engine import Engine
from llm_inference_api.engine.plan import Work
from llm_inference_api.processes.parent import Parent
from llm_inference_api.requests.adapters import Adapters
from llm_inference_api.requests.engine_config import EngineConfig
from llm_inference_api.requests.inquiry import Embed
from llm_inference_api.requests.model_info import ModelInfo
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.worker import start
from llm_inference_api.worker.messages import LastWords, Loading, Ready
from llm_inference_api.worker.preparer import Preparer

INFO = ModelInfo("fake", 1, 1, 16, 16, 16, 1, 16, False, ("CPU",))


def hang(connection: Connection, config: EngineConfig, place: str) -> None:
    """Runs a real worker in which a call of `place` (module:attribute) never returns."""
    module, _, path = place.partition(":")
    *owners, name = path.split(".")
    holder = import_module(f"llm_inference_api.{module}")
    for owner in owners:
        holder = getattr(holder, owner)
    setattr(holder, name, _never_return)
    start.run(connection, config)


def _never_return(*arguments: object, **options: object) -> None:
    threading.Event().wait()


def without_memory(connection: Connection, config: EngineConfig, threads: int) -> None:
    """Runs a real worker that can start so many threads and no more."""
    start_thread, started = threading.Thread.start, []

    def start_few(thread: threading.Thread) -> None:
        if len(started) == threads:
            raise RuntimeError("can't start new thread")  # Python's words for a failed allocation of the stack.
        started.append(thread)
        start_thread(thread)

    threading.Thread.start = start_few  # type: ignore[method-assign]
    start.run(connection, config)


def die_when_ready(connection: Connection, config: EngineConfig) -> None:
    """Loads nothing, and ends as soon as it has said that requests may come."""
    parent = Parent(connection)
    parent.send(Loading(0.5))
    parent.send(Ready(INFO))
    os._exit(7)


def die_of_poison(connection: Connection, config: EngineConfig, *, fails_only: bool = False) -> None:
    """Runs a real worker that a step with the prompt "poison", its preparation or its embedding ends.

    With `fails_only`, the step fails instead.
    """
    forward, prepare, embed = Engine._forward, Preparer.prepare, Embedder.answer

    def poisoned_forward(engine: Engine, works: Sequence[Work], adapters: Adapters) -> None:
        if any(work.sequence.request.prompt == "poison" for work in works):
            if not fails_only:
                os._exit(3)
            raise BackendError("a poisoned step")
        forward(engine, works, adapters)

    def poisoned_prepare(preparer: Preparer, request: GenerationRequest, arrived_at: float) -> Any:
        if request.prompt == "unpreparable":
            os._exit(3)
        return prepare(preparer, request, arrived_at)

    def poisoned_embed(embedder: Embedder, embed_: Embed, check: Any) -> Any:
        if embed_.inputs[0].content == "poison":
            os._exit(3)
        return embed(embedder, embed_, check)

    Engine._forward = poisoned_forward  # type: ignore[method-assign]
    Preparer.prepare = poisoned_prepare  # type: ignore[method-assign]
    Embedder.answer = poisoned_embed  # type: ignore[method-assign]
    start.run(connection, config)


def serve_without_servers(connection: Connection, config: EngineConfig) -> None:
    """Runs a real worker that computes all by itself."""
    start.run(connection, replace(config, gpu=replace(config.gpu, servers=())))


def lose_server(connection: Connection, config: EngineConfig) -> None:
    """Runs a real worker, which computes all by itself, and whose first step finds that a server is gone."""

    def lose(*_: object) -> None:
        connection.send(LastWords("Remote RPC server crashed or returned malformed response", lost_server=True))
        os._exit(134)

    Engine._forward = lose  # type: ignore[method-assign]
    serve_without_servers(connection, config)
