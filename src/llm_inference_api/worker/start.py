"""Entry point of a worker process. Imports the worker lazily, so that the server process never loads llama.cpp."""

import os
from multiprocessing.connection import Connection
from types import ModuleType

from llm_inference_api.processes.child import dismiss_standby, stand_by
from llm_inference_api.processes.garbage import kept
from llm_inference_api.requests.engine_config import EngineConfig

_OPENMP = {"GOMP_SPINCOUNT": "10000"}
"""How long libgomp's threads spin for each other before they sleep. Its default, 300,000 rounds, holds up all of them,
the server and Envoy where one has to share its processor; docs/performance.md has figures."""
_OPENMP_POLICY = "OMP_WAIT_POLICY"


def run(connection: Connection, config: EngineConfig) -> None:
    """Runs the worker; see `process.run`."""
    _import_worker().run(connection, config)


def start_next_worker() -> None:
    """Starts the process of the next worker, whose model is not known yet. Raises OSError if that is impossible."""
    stand_by(run, _run_next)


def dismiss_next_worker() -> None:
    """Ends the process of the next worker, if no model has come for it."""
    dismiss_standby(run)


def _run_next(connection: Connection, _: None) -> None:
    worker = _import_worker()
    try:
        config = connection.recv()
    except EOFError:
        return
    worker.run(connection, config)


def _import_worker() -> ModuleType:
    if _OPENMP_POLICY not in os.environ:
        for name, value in _OPENMP.items():
            os.environ.setdefault(name, value)  # Read when libgomp is loaded, with llama.cpp.
    with kept():
        from llm_inference_api.worker import process as worker  # noqa: PLC0415 - only here, in the process that needs it
    return worker
