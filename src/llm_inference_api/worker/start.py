"""The first step of a worker's process. The server that starts it loads nothing of llama.cpp itself."""

from multiprocessing.connection import Connection

from llm_inference_api.requests.engine_config import EngineConfig


def run(connection: Connection, config: EngineConfig) -> None:
    """See `worker.run`."""
    from llm_inference_api.worker import process as worker  # noqa: PLC0415 - only here, in the process that needs it

    worker.run(connection, config)
