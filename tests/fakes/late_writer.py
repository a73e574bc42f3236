"""A download's process in which Xet fails after some bytes, and writes once more while the rest comes over HTTP."""

import os
from io import BufferedWriter
from multiprocessing.connection import Connection
from pathlib import Path

from llm_inference_api.models.hub import process
from llm_inference_api.models.hub.messages import DownloadJob

BEGINNING = bytes(range(256)) * 4
"""Content of the file before the failure."""
_writers: list[BufferedWriter] = []


class Outbox(process.Outbox):
    """Writes when the first bytes after the failure have arrived."""

    def arrived(self, done: int, total: int) -> None:
        if done > len(BEGINNING) and _writers:
            with _writers.pop() as late:
                late.write(b"late")
        super().arrived(done, total)


def run(connection: Connection, job: DownloadJob) -> None:
    """Takes the place of `process.run`."""
    os.environ.update(job.environment)
    from llm_inference_api.models.hub import xet  # noqa: PLC0415 - huggingface_hub reads the environment.

    xet.receive = _receive
    process.Outbox = Outbox  # type: ignore[misc]
    process.run(connection, job)


def _receive(_: object, path: Path, __: object) -> None:
    path.write_bytes(BEGINNING)
    _writers.append(path.open("ab"))
    raise RuntimeError("the store is gone")
