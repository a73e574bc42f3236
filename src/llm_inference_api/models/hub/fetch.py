"""Models from the hub: the service's side of the process that downloads one."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from llm_inference_api.errors import HubError, UnavailableError
from llm_inference_api.models.hub import process as hub_process
from llm_inference_api.models.hub.messages import (
    Arrived,
    DownloadCrashed,
    DownloadJob,
    Failed,
    Fetched,
    LocalFiles,
    Message,
    Warned,
    Working,
)
from llm_inference_api.processes.child import Exited, Messages, running
from llm_inference_api.requests.reference import HubOrigin

_RETRY_AFTER = 10.0
"""Seconds after which a download that was ended from here may be tried again."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HubOptions:
    """How models come from the hub."""

    environment: Mapping[str, str] = field(repr=False)
    """Variables of huggingface_hub; the token is one, and only the download's process has it."""
    timeout: float = 3600.0
    """Seconds that a download may take."""
    stall_timeout: float = 60.0
    """Seconds without a byte after which it is given up."""


async def fetch(origin: HubOrigin, options: HubOptions, on_progress: Callable[[int, int], None]) -> LocalFiles:
    """Returns the model's files, after downloading what the cache lacks of them.

    Tells how many bytes are there of how many. What has arrived when the call fails or is cancelled is gone on from by
    the next one. Raises ServiceError, whose text says what to do.
    """
    name = f"{origin.repo}:{origin.file}" if origin.file else origin.repo
    try:
        async with (
            asyncio.timeout(options.timeout),
            running(hub_process.run, DownloadJob(origin, options.environment), "hub-download") as messages,
        ):
            return await _follow(messages, name, options.stall_timeout, on_progress)
    except TimeoutError:
        problem = f"the download of {name} did not end within LLM_DOWNLOAD_TIMEOUT ({options.timeout:g} s)"
        raise _given_up("DOWNLOAD_TIMEOUT", problem) from None


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
                raise HubError("DOWNLOAD_FAILED", f"the download of {name} failed; the service's log says why")
            case Exited(how):
                raise _given_up("DOWNLOAD_DIED", f"the process that downloaded {name} was ended from outside ({how})")


async def _next(messages: Messages, name: str, stall_timeout: float) -> Message | Exited:
    try:
        async with asyncio.timeout(stall_timeout):
            message: Message | Exited = await messages.get()
            return message
    except TimeoutError:
        problem = f"the download of {name} brought nothing within LLM_DOWNLOAD_STALL_TIMEOUT ({stall_timeout:g} s)"
        raise _given_up("DOWNLOAD_STALLED", problem) from None


def _given_up(reason: str, problem: str) -> UnavailableError:
    return UnavailableError(reason, f"{problem}; what has arrived is kept, try again", _RETRY_AFTER)
