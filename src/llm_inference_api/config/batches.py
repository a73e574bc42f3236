"""Settings for files and batches."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import ByteSize
from pydantic_settings import BaseSettings

from llm_inference_api.config.fields import variable as _variable

_DAY = 86_400


class BatchSettings(BaseSettings):
    """Files and batches."""

    batch_store: Path | None = _variable(
        "LLM_BATCH_STORE",
        None,
        "Directory in which files and batches are kept, of this service alone; prompts and answers are in it. Unset: "
        "there are no files and batches.",
    )
    batch_store_bytes: ByteSize = _variable(
        "LLM_BATCH_STORE_BYTES", ByteSize(4 << 30), "Maximum size of all files of batches, such as `4GiB`.", ge=1 << 20
    )
    batch_caller_bytes: ByteSize = _variable(
        "LLM_BATCH_CALLER_BYTES",
        ByteSize(1 << 30),
        "Maximum size of the files of one caller, output files included.",
        ge=1 << 20,
    )
    batch_caller_count: int = _variable(
        "LLM_BATCH_CALLER_COUNT",
        100,
        "Maximum number of files that a caller has uploaded, and of their batches that have not ended. Of those that "
        "have, as many are kept: the newest.",
        ge=1,
        le=10_000,
    )
    batch_lifetime: int = _variable(
        "LLM_BATCH_LIFETIME",
        30 * _DAY,
        "Seconds after which files are deleted, and ended batches forgotten.",
        ge=2 * _DAY,
        le=365 * _DAY,
    )
    batch_lines: int | None = _variable(
        "LLM_BATCH_LINES",
        None,
        "Maximum number of lines of batches that are computed at once. Unset: LLM_MAX_CONCURRENT_REQUESTS.",
        ge=1,
        le=64,
    )

    def batch_problems(self) -> Iterator[str]:
        """Yields what is wrong between these settings."""
        if self.batch_caller_bytes > self.batch_store_bytes:
            yield f"LLM_BATCH_CALLER_BYTES: {self.batch_caller_bytes} exceeds LLM_BATCH_STORE_BYTES"
