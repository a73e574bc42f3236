"""A download as Ollama reports a pull."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from llm_inference_api.api.ollama.pulling import pull
from llm_inference_api.errors import HubError
from llm_inference_api.requests.model_status import LoadProgress, ModelStatus, State

HALF = ModelStatus("m", "o/r", State.DOWNLOADING, progress=LoadProgress(5.0, 10.0, "BYTES"))


class Downloading:
    """A model whose download passes through these statuses; each is read before the next comes."""

    def __init__(self, *statuses: ModelStatus, error: Exception | None = None) -> None:
        self._statuses, self._error, self._is_seen = statuses, error, asyncio.Event()

    async def download(self) -> None:
        await self._is_seen.wait()
        if self._error is not None:
            raise self._error

    async def watch(self) -> AsyncGenerator[ModelStatus]:
        for status in self._statuses:
            yield status
        self._is_seen.set()
        await asyncio.Event().wait()


async def reports(model: Any) -> list[dict[str, Any]]:
    return [report async for report in pull(model)]


async def test_download_is_reported_in_bytes() -> None:
    """Then what is made of the files; a model that waits says nothing."""
    model = Downloading(ModelStatus("m", "o/r"), HALF, ModelStatus("m", "o/r", State.CONVERTING))
    begun, half, made, done = await reports(model)
    assert (begun["status"], made, done) == ("pulling manifest", {"status": "converting"}, {"status": "success"})
    assert (half["status"], half["completed"], half["total"]) == ("pulling", 5, 10)
    assert half["digest"].startswith("sha256:")


async def test_failed_download_is_no_success() -> None:
    """Its error ends the stream."""
    with pytest.raises(HubError, match="no such repository"):
        await reports(Downloading(HALF, error=HubError("HUB_NOT_FOUND", "no such repository")))
