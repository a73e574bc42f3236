"""The process that makes a GGUF file of a checkpoint: conversion, then quantisation where the settings want it.

It may take minutes and gigabytes, and a hostile file may end it; the service only hears of that.
"""

import hashlib
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from llm_inference_api.worker.parent import Parent
from llm_inference_api.worker.throttle import Throttle

_INTERVAL = 0.2
"""Seconds between two messages that say how far it is."""
_READ = (".json", ".safetensors", ".model", ".tiktoken", ".jinja")
"""Suffixes of the files that a conversion reads."""


@dataclass(frozen=True, slots=True)
class Job:
    """A checkpoint, and what is to become of it."""

    checkpoint: Path
    cache: Path
    """The directory of the files that were made."""
    dtype: str | None
    """Type of the weights; None: the checkpoint's own."""
    quantisation: str | None
    """Type to quantise them to; None: they stay as they are."""


class Step(NamedTuple):
    """To the service: so many of the tensors are converted, or quantised."""

    quantising: bool
    done: int
    total: int


class Made(NamedTuple):
    """To the service, as the last message: the file."""

    path: Path


class Refused(NamedTuple):
    """To the service, as the last message: why no file can be made, for people."""

    reason: str


class Crashed(NamedTuple):
    """To the service, as the last message: an error that nobody foresaw, for its log."""

    traceback: str


def find_made(job: Job) -> Path | None:
    """Returns the file that an earlier run made of the same checkpoint, or None."""
    path = _final(job)
    return path if path.is_file() else None


def run(connection: Connection, job: Job) -> None:
    """Makes the file, says where it is, and ends; ends at once where the other side of the connection closes."""
    parent = Parent(connection)
    parent.watch()
    # Loading these takes longer than looking for a file that is there.
    from llm_inference_api.models.convert.errors import ConversionError  # noqa: PLC0415

    try:
        parent.send(Made(_make(job, Steps(parent))))
    except ConversionError as error:
        parent.send(Refused(str(error)))
    except Exception:
        parent.send(Crashed(traceback.format_exc()))


class Steps:
    """Reports of how far the work is, no more than a few a second."""

    def __init__(self, parent: Parent) -> None:
        self._parent = parent
        self._throttle = Throttle(_INTERVAL)

    def report(self, done: int, total: int, *, quantising: bool) -> None:
        """Reports the tensors that are done of all; the last of them always."""
        if self._throttle.passes() or done == total:
            self._parent.send(Step(quantising, done, total))


def _make(job: Job, steps: Steps) -> Path:
    final = _final(job)
    job.cache.mkdir(parents=True, exist_ok=True)
    with FileLock(final.with_suffix(".lock")):  # Another service may make the same file now.
        if not final.is_file():
            _make_missing(job, final, steps)
    return final


def _make_missing(job: Job, final: Path, steps: Steps) -> None:
    from llm_inference_api.models.convert.conversion import convert_checkpoint  # noqa: PLC0415
    from llm_inference_api.models.convert.quantise import quantise_file  # noqa: PLC0415
    from llm_inference_api.models.convert.tensors.element_type import Dtype  # noqa: PLC0415

    converted = final if job.quantisation is None else final.with_suffix(".unquantised.gguf")
    if not converted.is_file():
        dtype = Dtype(job.dtype) if job.dtype else None
        convert_checkpoint(
            job.checkpoint, converted, dtype=dtype, progress=lambda *step: steps.report(*step, quantising=False)
        )
    if job.quantisation is not None:
        quantise_file(converted, final, job.quantisation, lambda *step: steps.report(*step, quantising=True))
        converted.unlink()


def _final(job: Job) -> Path:
    from llm_inference_api.models.convert.cache import cached_name  # noqa: PLC0415

    dtype = job.dtype or "checkpoint"
    return job.cache / cached_name(f"{_fingerprint(job.checkpoint)} {dtype}", job.quantisation or dtype)


def _fingerprint(checkpoint: Path) -> str:
    """Returns what changes when a file does: the hub names its large files by their content, others have a time."""
    files = sorted(path for path in checkpoint.iterdir() if path.is_file() and path.suffix in _READ)
    return hashlib.sha256("\n".join(map(_file_fingerprint, files)).encode()).hexdigest()


def _file_fingerprint(path: Path) -> str:
    target = path.resolve()
    if target.parent.name == "blobs":
        return f"{path.name}:{target.name}"
    status = target.stat()
    return f"{target}:{status.st_size}:{status.st_mtime_ns}"
