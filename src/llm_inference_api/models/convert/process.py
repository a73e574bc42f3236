"""The process that converts a checkpoint to a GGUF file and, where the settings say so, quantises it.

Conversion takes minutes and gigabytes, and a malformed file may crash it: none of this can affect the service.
"""

import errno
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from llm_inference_api.models.convert.cache import cached_name, checkpoint_fingerprint, file_fingerprint
from llm_inference_api.processes.parent import Parent
from llm_inference_api.processes.throttle import Throttle

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
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
    base: Path | None = None
    """GGUF file of the model for which the checkpoint is an adapter; None where it is a model."""


class Step(NamedTuple):
    """To the service: progress, in tensors."""

    quantising: bool
    """Whether tensors are quantised rather than converted."""
    done: int
    total: int


class Converted(NamedTuple):
    """To the service, as the last message: the file is complete."""

    path: Path


class ConversionRefused(NamedTuple):
    """To the service, as the last message: why the checkpoint cannot be converted, for the caller."""

    reason: str


class ConversionUnwritable(NamedTuple):
    """To the service, as the last message: a file could not be read or written."""

    reason: str
    is_full: bool
    """Whether the disk has no room."""


class ConversionCrashed(NamedTuple):
    """To the service, as the last message: an unexpected error, for the log."""

    traceback: str


def find_made(job: ConversionJob) -> Path | None:
    """Returns the file of an earlier conversion of the same checkpoint with the same options, or None."""
    path = _final(job)
    return path if path.is_file() else None


def run(connection: Connection, job: ConversionJob) -> None:
    """Makes the file, says where it is, and ends; ends at once where the other side of the connection closes."""
    parent = Parent(connection)
    parent.watch()
    # Loading these takes longer than looking for a file that is there.
    from llm_inference_api.models.convert.errors import ConversionError  # noqa: PLC0415

    try:
        parent.send(Converted(_make(job, Steps(parent))))
    except ConversionError as error:
        parent.send(ConversionRefused(str(error)))
    except OSError as error:
        reason = f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
        parent.send(ConversionUnwritable(reason, error.errno in _FULL))
    except Exception:
        parent.send(ConversionCrashed(traceback.format_exc()))


class Steps:
    """Reports of how far the work is, no more than a few a second."""

    def __init__(self, parent: Parent) -> None:
        self._parent = parent
        self._throttle = Throttle(_INTERVAL)

    def report(self, done: int, total: int, *, quantising: bool) -> None:
        """Reports the tensors that are done of all; the last of them always."""
        if self._throttle.passes() or done == total:
            self._parent.send(Step(quantising, done, total))


def _make(job: ConversionJob, steps: Steps) -> Path:
    final = _final(job)
    job.cache.mkdir(parents=True, exist_ok=True)
    with FileLock(final.with_suffix(".lock")):  # Another service may be converting the same checkpoint.
        if not final.is_file():
            _make_missing(job, final, steps)
    return final


def _make_missing(job: ConversionJob, final: Path, steps: Steps) -> None:
    from llm_inference_api.models.convert.adapter import convert_adapter  # noqa: PLC0415
    from llm_inference_api.models.convert.conversion import convert_checkpoint  # noqa: PLC0415
    from llm_inference_api.models.convert.quantise import quantise_file  # noqa: PLC0415
    from llm_inference_api.models.convert.tensors.element_type import Dtype  # noqa: PLC0415

    if job.base is not None:
        convert_adapter(job.checkpoint, job.base, final, progress=lambda *step: steps.report(*step, quantising=False))
        return
    converted = final if job.quantisation is None else final.with_suffix(".unquantised.gguf")
    if not converted.is_file():
        dtype = Dtype(job.dtype) if job.dtype else None
        convert_checkpoint(
            job.checkpoint, converted, dtype=dtype, progress=lambda *step: steps.report(*step, quantising=False)
        )
    if job.quantisation is not None:
        quantise_file(converted, final, job.quantisation, lambda *step: steps.report(*step, quantising=True))
        converted.unlink()


def _final(job: ConversionJob) -> Path:
    """Returns the path of the converted file."""
    dtype = job.dtype or "checkpoint"
    fingerprint = checkpoint_fingerprint(job.checkpoint)
    if job.base is not None:
        return job.cache / cached_name(f"{fingerprint} for {file_fingerprint(job.base)}", "adapter")
    return job.cache / cached_name(f"{fingerprint} {dtype}", job.quantisation or dtype)
