"""Stream of one request: waits for the model's load, submits the request, and reads the worker's deltas."""

import asyncio
from collections.abc import Mapping
from typing import Protocol

from llm_inference_api.requests.events import Progress, Stage
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.requests.step import Delta, StageEntry
from llm_inference_api.worker.client import WorkerClient
from llm_inference_api.worker.mailbox import Mailbox


class Host(Protocol):
    """The model that a stream belongs to."""

    async def acquire(self) -> WorkerClient:
        """Returns the worker's client, and keeps the model loaded until `release`; starts a worker if there is none."""

    def release(self) -> None:
        """Ends what `acquire` began; a request that was submitted keeps the model loaded by itself."""

    def refuse_what_embeds_only(self) -> None:
        """Raises UnsupportedError if the model computes embeddings only."""

    def note_end(self, request: GenerationRequest, *, whole: bool) -> None:
        """Records the end of a request; `whole` if all its answers were complete."""


class ModelStream:
    """One request to one model, from the load to the end. Closing it cancels unfinished answers."""

    def __init__(self, model: Host, request: GenerationRequest, identity: Mapping[str, object]) -> None:
        self._model = model
        self._request = request
        self._identity = identity
        self._load: asyncio.Future[WorkerClient] = asyncio.ensure_future(model.acquire())
        self._client: WorkerClient | None = None
        self._mailbox: Mailbox | None = None
        self._is_released = False

    async def next(self, interval: float | None) -> tuple[Delta, ...] | Progress:
        """Returns the deltas since the last call, or the request's stage if none arrive within `interval` seconds.

        Raises:
            OverloadedError: The model's queue is full.
            ServiceError: The load failed, or the worker ended the request.
        """
        if self._mailbox is None:
            if not (await asyncio.wait({self._load}, timeout=interval))[0]:
                return Progress(Stage.LOADING)
            self._mailbox = self._submit(self._load.result())
        return await self._mailbox.next(interval)

    async def wait_ended(self) -> None:
        """Waits until the request has ended in the worker; `next` then returns all remaining deltas at once."""
        assert self._mailbox is not None
        await self._mailbox.wait_ended()

    def take_entries(self) -> list[StageEntry]:
        """Returns the stages that the request's answers entered since the last call, in order."""
        return self._mailbox.take_entries() if self._mailbox is not None else []

    def close(self) -> None:
        """Ends the request, in any stage."""
        is_done = not self._load.cancel() and not self._load.cancelled()
        # Retrieves the exception too, or asyncio would log it as never retrieved.
        if is_done and self._load.exception() is None and not self._is_released:
            self._release()
        if self._client is not None and self._mailbox is not None:
            self._client.close_request(self._mailbox)
            self._model.note_end(self._request, whole=self._mailbox.is_whole)

    def _submit(self, client: WorkerClient) -> Mailbox:
        try:
            self._model.refuse_what_embeds_only()
            self._client = client
            return client.submit(self._request, self._identity)
        finally:
            self._release()

    def _release(self) -> None:
        self._is_released = True
        self._model.release()
