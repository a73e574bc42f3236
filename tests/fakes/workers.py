"""Workers of tests: real ones with a fault in one place, and some that only say what workers say."""

import os
import threading
from importlib import import_module
from multiprocessing.connection import Connection

from llm_inference_api.processes.parent import Parent
from llm_inference_api.requests.engine_config import EngineConfig
from llm_inference_api.requests.model_info import ModelInfo
from llm_inference_api.worker import start
from llm_inference_api.worker.messages import Loading, Ready

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
