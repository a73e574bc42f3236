"""Entry point of the process that downloads one model from the hub.

It gets the hub token and nothing else of the server's. Its crashes and hanging connections do not affect the server.
"""

import os
import time
import traceback
from multiprocessing.connection import Connection

from llm_inference_api.errors import HubError, ServiceError
from llm_inference_api.models.hub.messages import (
    Arrived,
    Deleted,
    DeletionJob,
    DownloadCrashed,
    DownloadJob,
    Failed,
    Fetched,
    Listed,
    ListingJob,
    LocalFiles,
    Message,
    Warned,
    Working,
)
from llm_inference_api.processes.parent import Parent
from llm_inference_api.processes.throttle import Throttle

_INTERVAL = 0.2
"""Minimum seconds between two progress messages or heartbeats."""
_QUIET = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_VERBOSITY": "error",
}
_XET = {
    "HF_XET_CLIENT_CONNECT_TIMEOUT": "10s",
    "HF_XET_CLIENT_READ_TIMEOUT": "15s",
    "HF_XET_CLIENT_RETRY_BASE_DELAY": "1s",
    "HF_XET_CLIENT_RETRY_MAX_ATTEMPTS": "2",
    "HF_XET_RECONSTRUCTION_DOWNLOAD_BUFFER_LIMIT": "256mb",
    "HF_XET_RECONSTRUCTION_DOWNLOAD_BUFFER_PERFILE_SIZE": "256mb",
    "HF_XET_RECONSTRUCTION_DOWNLOAD_BUFFER_SIZE": "256mb",
    "HF_XET_LOG_DEST": os.devnull,
}
"""Defaults for hf_xet, which the environment may override.

By default, hf_xet 1.8 retries an unreachable store for longer than LLM_DOWNLOAD_STALL_TIMEOUT, which prevents the
fallback to HTTP; buffers up to 6 GB, which no memory budget accounts for; and writes log files.
"""


def run(connection: Connection, job: DownloadJob | ListingJob) -> None:
    """Does the job and sends the result; the process exits when the connection closes."""
    parent = Parent(connection)
    parent.watch()
    os.environ.update(_XET | dict(os.environ) | _QUIET | dict(job.environment))
    outbox = Outbox(parent)
    try:
        outbox.send(_done(job, outbox))
    except ServiceError as error:
        outbox.send(Failed(error))
    except Exception:
        outbox.send(DownloadCrashed(traceback.format_exc()))


class Outbox:
    """Sends messages to the server; rate-limits progress and heartbeats. Implements `download.Report`."""

    def __init__(self, parent: Parent) -> None:
        self._parent = parent
        self._progress = Throttle(_INTERVAL)
        self._message_at = 0.0

    def send(self, message: Message) -> None:
        """Sends the message."""
        self._message_at = time.monotonic()
        self._parent.send(message)

    def arrived(self, done: int, total: int) -> None:
        """Sends the progress in bytes; the final progress is always sent."""
        if self._progress.passes() or done == total:
            self.send(Arrived(done, total))

    def working(self) -> None:
        """Sends a heartbeat."""
        if time.monotonic() - self._message_at >= _INTERVAL:
            self.send(Working())

    def warned(self, text: str) -> None:
        """Sends a warning for the server's log."""
        self.send(Warned(text))


def _done(job: DownloadJob | ListingJob, outbox: Outbox) -> Message:
    match job:
        case ListingJob():
            return _list()
        case DeletionJob():
            return _delete(job, outbox)
    return Fetched(_fetch(job, outbox))


def _list() -> Listed:
    from llm_inference_api.models.hub.listing import downloads  # noqa: PLC0415 - as in `_fetch`

    return Listed(tuple(downloads()))


def _delete(job: DeletionJob, outbox: Outbox) -> Deleted | Failed:
    from llm_inference_api.models.hub import cache as hub_cache  # noqa: PLC0415 - as in `_fetch`

    try:
        return Deleted(hub_cache.delete(job.origin, outbox.working))
    except OSError as error:
        problem = f"the files of {job.origin.repo} cannot be deleted from the hub's cache: {error.strerror}"
        return Failed(HubError("CACHE_NOT_WRITABLE", problem))


def _fetch(job: DownloadJob, outbox: Outbox) -> LocalFiles:
    # Imported here because huggingface_hub reads the environment at import. Offline, network code is not even imported.
    from llm_inference_api.models.hub import cache as hub_cache  # noqa: PLC0415

    if hub_cache.is_offline():
        return hub_cache.find(job.origin, outbox.working)
    from llm_inference_api.models.hub import download as hub_download  # noqa: PLC0415

    return hub_download.fetch(job.origin, outbox)
