"""Fetches a model from the hub through a download process: the server process's side."""

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from llm_inference_api.errors import HubError, ServiceError, UnavailableError
from llm_inference_api.models.hub import process as hub_process
from llm_inference_api.models.hub.messages import (
    Arrived,
    Deleted,
    DeletionJob,
    DownloadCrashed,
    Downloaded,
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
from llm_inference_api.processes.child import Exited, Messages, running
from llm_inference_api.processes.running_time import running_time
from llm_inference_api.requests.reference import HubOrigin

_ENDED = ("DOWNLOAD_DIED", "DOWNLOAD_FAILED", "DOWNLOAD_STALLED", "DOWNLOAD_TIMEOUT")
"""Reasons of the errors with which the process says nothing of the cache any more."""
_OFFLINE = "HF_HUB_OFFLINE"
_RETRY_AFTER = 10.0
"""Retry delay in seconds, reported to callers when a download times out, stalls or dies."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HubOptions:
    """Options of downloads from the hub."""

    environment: Mapping[str, str] = field(repr=False)
    """huggingface_hub's variables, including the token; passed to the download process only."""
    timeout: float = 3600.0
    """Maximum duration of a download, in seconds."""
    stall_timeout: float = 60.0
    """Seconds without a message from the download process after which it is stopped."""


async def fetch(origin: HubOrigin, options: HubOptions, on_progress: Callable[[int, int], None]) -> LocalFiles:
    """Returns the model's files; downloads those missing from the cache.

    A failed or cancelled download keeps its partial files, and the next call resumes it. Where the download process
    hangs or dies, another one looks for the files in the cache alone.

    Args:
        origin: The model's repository and file.
        options: Environment and timeouts.
        on_progress: Called with the bytes present and the bytes in total.

    Raises:
        ServiceError: The model cannot be downloaded; the text says what to do.
    """
    try:
        return await _run(origin, options, on_progress)
    except (HubError, UnavailableError) as error:
        if error.reason not in _ENDED or options.environment.get(_OFFLINE) == "1":
            raise
        offline = replace(options, environment={**options.environment, _OFFLINE: "1"})
        with suppress(ServiceError):
            files = await _run(origin, offline, on_progress)
            logger.warning("%s; the model is served from the cache", error)
            return files
        raise


async def delete(origin: HubOrigin, options: HubOptions) -> int:
    """Deletes the model's files from the cache, those of its revision's last commit. Returns the bytes freed.

    Raises:
        ServiceError: A file cannot be deleted, or the process hangs or dies.
    """
    name = _name(origin)
    job = DeletionJob(origin, options.environment)
    async with running(hub_process.run, job, "hub-deletion") as messages:
        while True:
            match await _next(messages, name, options.stall_timeout):
                case Deleted(freed):
                    return freed
                case Failed(error):
                    raise error
                case DownloadCrashed(traceback):
                    logger.error("the deletion of %s failed unexpectedly: %s", name, traceback)
                    raise HubError("CACHE_FAILED", f"{name} could not be deleted; see the service's log")
                case Exited(how):
                    raise _stopped("DELETION_DIED", f"the process that deleted {name} was ended from outside ({how})")


async def downloads(options: HubOptions) -> tuple[Downloaded, ...]:
    """Returns what the hub's cache has.

    Raises:
        ServiceError: The cache cannot be read, or the process hangs or dies.
    """
    async with running(hub_process.run, ListingJob(options.environment), "hub-listing") as messages:
        match await _next(messages, "the list of the hub's cache", options.stall_timeout):
            case Listed(found):
                return found
            case DownloadCrashed(traceback):
                logger.error("listing the hub's cache failed unexpectedly: %s", traceback)
                raise HubError("CACHE_FAILED", "the hub's cache could not be listed; see the service's log")
            case ended:
                raise _stopped("LISTING_DIED", f"the process that lists the hub's cache was ended ({ended})")


def _name(origin: HubOrigin) -> str:
    return f"{origin.repo}:{origin.file}" if origin.file else origin.repo


async def _run(origin: HubOrigin, options: HubOptions, on_progress: Callable[[int, int], None]) -> LocalFiles:
    name = _name(origin)
    try:
        async with (
            running_time().timeout(options.timeout),
            running(hub_process.run, DownloadJob(origin, options.environment), "hub-download") as messages,
        ):
            return await _follow(messages, name, options.stall_timeout, on_progress)
    except TimeoutError:
        problem = f"the download of {name} did not end within LLM_DOWNLOAD_TIMEOUT ({options.timeout:g} s)"
        raise _stopped("DOWNLOAD_TIMEOUT", problem) from None


async def _follow(
    messages: Messages, name: str, stall_timeout: float, on_progress: Callable[[int, int], None]
) -> LocalFiles:
    while True:
        match await _next(messages, name, stall_timeout):
            case Arrived(done, total):
                on_progress(done, total)
            case Working():
                pass
            case Warned(text):
                logger.warning("%s: %s", name, text)
            case Fetched(files):
                return files
            case Failed(error):
                raise error
            case DownloadCrashed(traceback):
                logger.error("the download of %s failed unexpectedly: %s", name, traceback)
                raise HubError("DOWNLOAD_FAILED", f"the download of {name} failed; see the service's log")
            case Exited(how):
                raise _stopped("DOWNLOAD_DIED", f"the download process of {name} was ended from outside ({how})")


async def _next(messages: Messages, name: str, stall_timeout: float) -> Message | Exited:
    try:
        async with running_time().timeout(stall_timeout):
            message: Message | Exited = await messages.get()
            return message
    except TimeoutError:
        problem = f"the download of {name} got no data within LLM_DOWNLOAD_STALL_TIMEOUT ({stall_timeout:g} s)"
        raise _stopped("DOWNLOAD_STALLED", problem) from None


def _stopped(reason: str, problem: str) -> UnavailableError:
    return UnavailableError(reason, f"{problem}; partial files are kept, try again", _RETRY_AFTER)
