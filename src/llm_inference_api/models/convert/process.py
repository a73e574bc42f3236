"""The process that converts a checkpoint to a GGUF file and, where the settings say so, quantises it.

Conversion takes minutes and gigabytes, and a malformed file may crash it: none of this can affect the service.
"""

import os
import time
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from llm_inference_api.models.convert.cache import cached_name, checkpoint_fingerprint
from llm_inference_api.models.convert.errors import ConversionError
from llm_inference_api.worker.child import end_with_service

_INTERVAL = 0.2
"""Seconds between two progress messages."""


@dataclass(frozen=True, slots=True)
class ConversionJob:
    """A checkpoint to convert, with the options of the conversion."""

    checkpoint: Path
    """Its directory."""
    cache: Path
    """The directory of converted files."""
    dtype: str | None
    """Type of the weights, a value of Dtype; None keeps the checkpoint's."""
    quantisation: str | None
    """Type to quantise the weights to, one of QUANTISATION_TYPES; None for no quantisation."""


class Step(NamedTuple):
    """To the service: progress, in tensors."""

    quantising: bool
    """Whether tensors are quantised rather than converted."""
    done: int
    total: int


class Made(NamedTuple):
    """To the service, as the last message: the file is complete."""

    path: Path


class ConversionRefused(NamedTuple):
    """To the service, as the last message: why the checkpoint cannot be converted, for the caller."""

    reason: str


class ConversionCrashed(NamedTuple):
    """To the service, as the last message: an unexpected error, for the log."""

    traceback: str


def find_made(job: ConversionJob) -> Path | None:
    """Returns the file of an earlier conversion of the same checkpoint with the same options, or None."""
    path = _final(job)
    return path if path.is_file() else None


def run(connection: Connection, job: ConversionJob) -> None:
    """Converts the checkpoint and sends the path of the file; ends at once if the service closes the connection."""
    end_with_service(connection)
    outbox = ConversionOutbox(connection)
    try:
        outbox.send(Made(_make(job, outbox)))
    except ConversionError as error:
        outbox.send(ConversionRefused(str(error)))
    except Exception:
        outbox.send(ConversionCrashed(traceback.format_exc()))


class ConversionOutbox:
    """Sends messages to the service."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._said_at = 0.0

    def send(self, message: Step | Made | ConversionRefused | ConversionCrashed) -> None:
        """Sends a message; ends the process if the service is gone."""
        try:
            self._connection.send(message)
        except OSError:
            os._exit(0)

    def step(self, done: int, total: int, *, quantising: bool) -> None:
        """Sends progress at most every _INTERVAL seconds, and always for the last tensor."""
        now = time.monotonic()
        if done == total or now - self._said_at >= _INTERVAL:
            self._said_at = now
            self.send(Step(quantising, done, total))


def _make(job: ConversionJob, outbox: ConversionOutbox) -> Path:
    final = _final(job)
    job.cache.mkdir(parents=True, exist_ok=True)
    with FileLock(final.with_suffix(".lock")):  # Another service may be converting the same checkpoint.
        if not final.is_file():
            _make_missing(job, final, outbox)
    return final


def _make_missing(job: ConversionJob, final: Path, outbox: ConversionOutbox) -> None:
    # Imported here because the service, which imports this module, must not load numpy and gguf.
    from llm_inference_api.models.convert.conversion import convert_checkpoint  # noqa: PLC0415
    from llm_inference_api.models.convert.quantise import quantise_file  # noqa: PLC0415
    from llm_inference_api.models.convert.tensors.element_type import Dtype  # noqa: PLC0415

    converted = final if job.quantisation is None else final.with_suffix(".unquantised.gguf")
    if not converted.is_file():
        dtype = Dtype(job.dtype) if job.dtype else None
        convert_checkpoint(
            job.checkpoint, converted, dtype=dtype, progress=lambda *step: outbox.step(*step, quantising=False)
        )
    if job.quantisation is not None:
        quantise_file(converted, final, job.quantisation, lambda *step: outbox.step(*step, quantising=True))
        converted.unlink()


def _final(job: ConversionJob) -> Path:
    """Returns the path of the converted file."""
    dtype = job.dtype or "checkpoint"
    return job.cache / cached_name(f"{checkpoint_fingerprint(job.checkpoint)} {dtype}", job.quantisation or dtype)
