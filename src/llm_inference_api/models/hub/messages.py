"""Messages between the server process and a download process, sent over their pipe.

End of file means that the other process has ended.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from llm_inference_api.errors import ServiceError
from llm_inference_api.requests.reference import HubOrigin


@dataclass(frozen=True, slots=True)
class LocalFiles:
    """The local files of one model, complete and verified."""

    model: Path
    """The GGUF file (the first part of a split one), or the directory of a checkpoint."""
    files: tuple[Path, ...]
    """All files of the model. Other files in the directory are not verified."""
    commit: str
    """Commit of the repository that the files belong to."""
    tokenizer: Path | None = None
    """Directory of the chat template and tokenizer that override the model's own."""


@dataclass(frozen=True, slots=True)
class DownloadJob:
    """Input of a download process."""

    origin: HubOrigin
    environment: Mapping[str, str] = field(repr=False)
    """Variables, including the token; set before huggingface_hub is imported, which reads them at import."""


class DeletionJob(DownloadJob):
    """Input of a process that deletes a model's files from the cache."""


@dataclass(frozen=True, slots=True)
class ListingJob:
    """Input of a process that lists what is in the cache."""

    environment: Mapping[str, str] = field(repr=False)
    """See `DownloadJob`."""


class Downloaded(NamedTuple):
    """A model in the cache."""

    reference: str
    """What names it, such as `repo:file.gguf` or `repo#revision`."""
    size: int
    """Bytes of its files. Revisions share those that are equal."""


class Listed(NamedTuple):
    """To the server, as the last message: what is in the cache."""

    downloads: tuple[Downloaded, ...]


class Arrived(NamedTuple):
    """To the server: download progress, in bytes."""

    done: int
    total: int


class Working(NamedTuple):
    """To the server: heartbeat while a file is verified or another process downloads it; defers the stall timeout."""


class Warned(NamedTuple):
    """To the server: a warning for its log."""

    text: str


class Fetched(NamedTuple):
    """To the server, as the last message: the model is complete."""

    files: LocalFiles


class Failed(NamedTuple):
    """To the server, as the last message: the download failed."""

    error: ServiceError


class DownloadCrashed(NamedTuple):
    """To the server, as the last message: traceback of an unexpected error, for its log."""

    traceback: str


class Deleted(NamedTuple):
    """To the server, as the last message: the files are deleted."""

    freed: int
    """Bytes."""


Message = Arrived | Working | Warned | Fetched | Failed | DownloadCrashed | Deleted | Listed
