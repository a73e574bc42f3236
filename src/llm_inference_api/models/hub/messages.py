"""What the service and the process that downloads from the hub say to each other over their pipe.

End of file is a message too: for the download that the service is gone, for the service that the download is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from llm_inference_api.errors import ServiceError
from llm_inference_api.requests.reference import HubOrigin


@dataclass(frozen=True, slots=True)
class LocalFiles:
    """Where the files of one model lie, all of them complete and checked."""

    model: Path
    """The GGUF file, the first part of a split one; or the directory of a checkpoint."""
    files: tuple[Path, ...]
    """All files of the model. Its directory may hold others, which are neither wanted nor checked."""
    commit: str
    """The commit of the repository that the files are of."""
    tokenizer: Path | None = None
    """The directory with the chat template and tokenizer that take the place of the model's own."""


@dataclass(frozen=True, slots=True)
class DownloadJob:
    """What the download's process needs to know."""

    origin: HubOrigin
    environment: Mapping[str, str] = field(repr=False)
    """Variables to set before huggingface_hub is loaded, which reads them when it is imported; one is the token."""


class Arrived(NamedTuple):
    """To the service: this much of the model is on the disk."""

    done: int
    total: int


class Working(NamedTuple):
    """To the service: no byte came, but none was due; a file is checked, or another process downloads it."""


class Warned(NamedTuple):
    """To the service: a line for its log."""

    text: str


class Fetched(NamedTuple):
    """To the service, as the last message: the model is there."""

    files: LocalFiles


class Failed(NamedTuple):
    """To the service, as the last message: why the model cannot be had."""

    error: ServiceError


class DownloadCrashed(NamedTuple):
    """To the service, as the last message: an error that nobody foresaw, for its log."""

    traceback: str


Message = Arrived | Working | Warned | Fetched | Failed | DownloadCrashed
