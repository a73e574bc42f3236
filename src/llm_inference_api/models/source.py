"""Resolves a model reference to files that a worker can load: downloads, converts and quantises, each at most once."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from llm_inference_api.errors import ModelFailedError, UnavailableError
from llm_inference_api.models.convert import process as gguf_process
from llm_inference_api.models.convert.process import ConversionCrashed, ConversionJob, ConversionRefused, Made, Step
from llm_inference_api.models.hub import fetch as hub
from llm_inference_api.processes.child import Exited, running
from llm_inference_api.requests.reference import HubOrigin, Reference, parts

logger = logging.getLogger(__name__)


class Preparation(Enum):
    """A stage of preparing a model's files; the value is unique and names the unit of its progress."""

    DOWNLOADING = "BYTES"
    CONVERTING = "TENSORS"
    QUANTIZING = "QUANTIZED_TENSORS"


def _is_quantised(checkpoint: Path) -> bool:
    try:
        config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False  # The conversion reports the broken config.
    return isinstance(config, dict) and "quantization_config" in config


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
        quantisation = self._quantisation(reference, path)
        if path.is_dir():
            path = await self._make(ConversionJob(path, self.cache, self.dtype, quantisation), on_progress)
        return ModelFiles(tuple(path.with_name(name) for name in parts(path.name)), tokenizer)

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
            return reference.path(self.model_path), None
        files = await hub.fetch(origin, self.hub, lambda done, total: on_progress(Preparation.DOWNLOADING, done, total))
        return files.model, files.tokenizer

    async def _make(self, job: ConversionJob, on_progress: OnProgress) -> Path:
        made = gguf_process.find_made(job)
        if made is not None:
            return made
        async with running(gguf_process.run, job, "gguf-maker") as messages:
            while True:
                match await messages.get():
                    case Step(quantising, done, total):
                        stage = Preparation.QUANTIZING if quantising else Preparation.CONVERTING
                        on_progress(stage, done, total)
                    case Made(path):
                        return path
                    case ConversionRefused(reason):
                        raise ModelFailedError(reason)
                    case ConversionCrashed(traceback):
                        logger.error("making a GGUF file of %s failed: %s", job.checkpoint.name, traceback)
                        raise ModelFailedError("the checkpoint could not be converted; see the service's log")
                    case Exited(how):
                        problem = f"the process that converted the checkpoint ended ({how})"
                        raise UnavailableError("CONVERSION_DIED", problem, 10.0)
