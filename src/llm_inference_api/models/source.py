"""Resolves a model reference to files that a worker can load: downloads, converts and quantises, each at most once."""

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from llm_inference_api.errors import DiskFullError, ModelFailedError, UnavailableError
from llm_inference_api.files import open_regular
from llm_inference_api.models.convert import process as gguf_process
from llm_inference_api.models.convert.process import (
    ConversionCrashed,
    ConversionJob,
    ConversionRefused,
    ConversionUnwritable,
    Converted,
    Step,
)
from llm_inference_api.models.hub import fetch as hub
from llm_inference_api.models.hub.messages import Downloaded
from llm_inference_api.processes.child import Exited, running
from llm_inference_api.requests.adapters import AdapterFile
from llm_inference_api.requests.reference import HubOrigin, LocalOrigin, Reference, adapter_problem, inside, parts
from llm_inference_api.shutdown import in_daemon_thread

Result = TypeVar("Result")
_FILES_TIMEOUT = 60.0
"""Seconds in which the disk must answer what is asked of a model's files before they are loaded: names and headers."""

_SHOWN = 20
"""Names of files that an error lists."""

logger = logging.getLogger(__name__)


class Preparation(Enum):
    """A stage of preparing a model's files; the value is unique and names the unit of its progress."""

    DOWNLOADING = "BYTES"
    CONVERTING = "TENSORS"
    QUANTIZING = "QUANTIZED_TENSORS"


def _is_quantised(checkpoint: Path) -> bool:
    try:
        with open_regular(checkpoint / "config.json") as file:
            config = json.loads(file.read())
    except (OSError, ValueError, RecursionError):
        return False  # The conversion reports the broken config.
    return isinstance(config, dict) and "quantization_config" in config


async def read_files(work: Callable[[], Result]) -> Result:
    """Returns the result of work that only reads a little of a model's files, without holding up the event loop.

    Raises:
        UnavailableError: The files did not answer in time, as those of a network file system whose server is gone.
    """
    try:
        async with asyncio.timeout(_FILES_TIMEOUT):
            return await in_daemon_thread(work, "model files")
    except TimeoutError:
        problem = f"the model's files did not answer within {_FILES_TIMEOUT:g} s; is their file system reachable?"
        raise UnavailableError("FILES_UNAVAILABLE", problem) from None


class ModelFiles(NamedTuple):
    """The local files that a worker loads."""

    paths: tuple[Path, ...]
    """The GGUF file, or all parts of a split one in order."""
    tokenizer: Path | None = None
    """Directory of the chat template and tokenizer that override those in the file."""


OnProgress = Callable[[Preparation, int, int], None]
"""Called with the stage and its progress: units done, units in total."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where models are found, and how checkpoints are converted."""

    model_path: Path
    cache: Path
    hub: hub.HubOptions
    dtype: str | None = None
    quantisation: str | None = None

    async def provide(self, reference: Reference, on_progress: OnProgress) -> ModelFiles:
        """Returns the model's files; downloads and converts them if necessary.

        Raises:
            ServiceError: The download or the conversion failed.
        """
        path, tokenizer = await self._find(reference, on_progress)
        job = await read_files(partial(self._conversion, reference, path))
        if job is not None:
            path = await self._make(job, on_progress)
        return ModelFiles(tuple(path.with_name(name) for name in parts(path.name)), tokenizer)

    async def adapters(self, files: Sequence[AdapterFile], base: Path, on_progress: OnProgress) -> dict[str, Path]:
        """Returns the GGUF files of a model's adapters by id; converts those that peft has written.

        Raises:
            ServiceError: One does not exist, or the conversion failed.
        """
        found = {}
        for file in files:
            path = await read_files(partial(inside, file.path, self.model_path, adapter_problem))
            if path.is_dir():
                path = await self._make(ConversionJob(path, self.cache, None, None, base), on_progress)
            found[file.id] = path
        return found

    async def delete(self, origin: HubOrigin) -> int:
        """Deletes the model's files from the hub's cache. Returns the bytes freed.

        Raises:
            ServiceError: The files cannot be deleted.
        """
        return await hub.delete(origin, self.hub)

    async def downloads(self) -> tuple[Downloaded, ...]:
        """Returns what the hub's cache has.

        Raises:
            ServiceError: It cannot be listed.
        """
        return await hub.downloads(self.hub)

    def _conversion(self, reference: Reference, path: Path) -> ConversionJob | None:
        """Returns what makes a GGUF file of the path; None if it is one."""
        quantisation = self._quantisation(reference, path)
        if not path.is_dir():
            return None
        for part in path.iterdir():
            if part.exists() and not part.is_file() and not part.is_dir():
                raise ModelFailedError(f"{part.name} in the checkpoint is not a regular file")
        return ConversionJob(path, self.cache, self.dtype, quantisation)

    def _quantisation(self, reference: Reference, path: Path) -> str | None:
        """Returns the type to quantise to; None if not configured, or if the weights are already quantised."""
        if self.quantisation is None:
            return None
        if path.is_dir() and not _is_quantised(path):
            return self.quantisation
        logger.info("model %s is not quantised: LLM_ENABLE_ISQ applies to unquantised checkpoints only", reference.id)
        return None

    async def _find(self, reference: Reference, on_progress: OnProgress) -> tuple[Path, Path | None]:
        origin = reference.origin
        if not isinstance(origin, HubOrigin):
            try:
                return await read_files(partial(reference.path, self.model_path)), None
            except ModelFailedError:
                if isinstance(origin, LocalOrigin):
                    # Callers get the error without what is on this machine.
                    logger.warning("%s was looked for in %s", origin.path, await read_files(self._searched))
                raise
        files = await hub.fetch(origin, self.hub, lambda done, total: on_progress(Preparation.DOWNLOADING, done, total))
        return files.model, files.tokenizer

    def _searched(self) -> str:
        """Returns the directory of the model files, and what is in it, in words."""
        directory = self.model_path.absolute()
        try:
            names = sorted(f"{path.name}/" if path.is_dir() else path.name for path in directory.iterdir())
        except OSError as error:
            return f"{directory} (LLM_MODEL_PATH), which cannot be read: {error.strerror}"
        more = f" and {len(names) - _SHOWN} others" if len(names) > _SHOWN else ""
        has = f"has {', '.join(names[:_SHOWN])}{more}" if names else "is empty"
        return f"{directory} (LLM_MODEL_PATH), which {has}"

    async def _make(self, job: ConversionJob, on_progress: OnProgress) -> Path:
        made = await read_files(partial(gguf_process.find_made, job))
        if made is not None:
            return made
        async with running(gguf_process.run, job, "gguf-maker") as messages:
            while True:
                match await messages.get():
                    case Step(quantising, done, total):
                        stage = Preparation.QUANTIZING if quantising else Preparation.CONVERTING
                        on_progress(stage, done, total)
                    case Converted(path):
                        return path
                    case ConversionRefused(reason):
                        raise ModelFailedError(reason)
                    case ConversionUnwritable(reason, is_full):
                        logger.error("making a GGUF file of %s failed: %s", job.checkpoint.name, reason)
                        if is_full:
                            raise DiskFullError("DISK_FULL", "LLM_CACHE_PATH has no room for the converted checkpoint")
                        problem = "a file cannot be read or written; see the service's log"
                        raise ModelFailedError(f"the checkpoint could not be converted: {problem}")
                    case ConversionCrashed(traceback):
                        logger.error("making a GGUF file of %s failed: %s", job.checkpoint.name, traceback)
                        raise ModelFailedError("the checkpoint could not be converted; see the service's log")
                    case Exited(how):
                        problem = f"the process that converted the checkpoint ended ({how})"
                        raise UnavailableError("CONVERSION_DIED", problem, 10.0)
