"""Entry point of a worker process. Imports the worker lazily, so that the server process never loads llama.cpp."""

from multiprocessing.connection import Connection

from llm_inference_api.requests.engine_config import EngineConfig


def run(connection: Connection, config: EngineConfig) -> None:
    """Runs the worker; see `process.run`."""
    from llm_inference_api.worker import process as worker  # noqa: PLC0415 - only here, in the process that needs it

    worker.run(connection, config)
