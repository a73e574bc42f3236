"""`StoredFile` and `BatchJob`: what the store has of each."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Status(StrEnum):
    """State of a batch. The values are OpenAI's."""

    VALIDATING = "validating"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def is_final(self) -> bool:
        """Whether the batch has ended."""
        return self in _FINAL


_FINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.EXPIRED})

INPUT, OUTPUT = "batch", "batch_output"
"""Purposes of files."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a caller."""

    number: int
    """Key in the store; later files have larger ones."""
    id: str
    caller: str
    name: str
    purpose: str
    size: int
    """In bytes."""
    created_at: int
    """Unix time in seconds."""
    expires_at: int
    """Unix time in seconds at which it is deleted."""


class LineProblem(NamedTuple):
    """Why a batch has failed, as OpenAI's `BatchError` has it."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None
    """Number of the line in the input file, from 1."""


class Tokens(NamedTuple):
    """Tokens of answered lines."""

    input: int = 0
    cached: int = 0
    output: int = 0
    reasoning: int = 0


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """What a caller asks for."""

    caller: str
    endpoint: str
    """Path of the endpoint that all lines are for, such as `/v1/chat/completions`."""
    input_file: str
    """Id of the file with the lines."""
    window: int
    """Seconds in which the batch is to be computed."""
    metadata: Mapping[str, str] | None = None
    output_lifetime: int | None = None
    """Seconds for which the output files are kept; None: as all files."""


@dataclass(frozen=True, slots=True)
class BatchJob:
    """A batch, with its progress."""

    number: int
    """Key in the store; later batches have larger ones."""
    id: str
    caller: str
    endpoint: str
    status: Status
    created_at: int
    """Unix time in seconds."""
    expires_at: int
    """Unix time in seconds at which what is not computed is given up."""
    times: Mapping[Status, int]
    """Unix time in seconds at which each state was entered."""
    metadata: Mapping[str, str] | None
    problems: tuple[LineProblem, ...]
    input_file: str
    output_file: str | None
    """Id of the file with the answers; None if there are none, or not yet."""
    error_file: str | None
    """Id of the file with the lines that have failed; None if there are none, or not yet."""
    model: str | None
    """Model of all lines; None if they name several, or none."""
    total: int
    completed: int
    failed: int
    tokens: Tokens


class Line(NamedTuple):
    """A line of a file."""

    number: int
    """From 1."""
    data: bytes
    """With its end."""

    @property
    def is_blank(self) -> bool:
        """Whether there is nothing in it."""
        return not self.data.strip()


class AnsweredLine(NamedTuple):
    """What became of a line."""

    number: int
    data: bytes
    """Line of the output file, or of the file with the errors."""
    is_error: bool
    tokens: Tokens = Tokens()
