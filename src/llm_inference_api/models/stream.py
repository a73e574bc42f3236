"""What a model has for one request: first its load, then what its worker sends."""

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

    async def load(self) -> WorkerClient:
        """Returns the worker's client, started where there is none."""

    def refuse_what_embeds_only(self) -> None:
        """Raises UnsupportedError where the model generates no text."""

    def note_end(self, request: GenerationRequest, *, whole: bool) -> None:
        """Notes that a request has ended; `whole` where all its answers came to their ends."""


class ModelStream:
    """One request to one model, from its submission to its end. Closing it cancels what has not ended."""

    def __init__(self, model: Host, request: GenerationRequest, identity: Mapping[str, object]) -> None:
        self._model = model
        self._request = request
        self._identity = identity
        self._load: asyncio.Future[WorkerClient] = asyncio.ensure_future(model.load())
        self._client: WorkerClient | None = None
        self._mailbox: Mailbox | None = None

    async def next(self, interval: float | None) -> tuple[Delta, ...] | Progress:
        """Returns what has arrived since the last call, or where the request stands after `interval` seconds.

        Raises what ends the request: whatever the load raises, OverloadedError where too many requests are open, and
        the worker's errors.
        """
        if self._mailbox is None:
            if not (await asyncio.wait({self._load}, timeout=interval))[0]:
                return Progress(Stage.LOADING)
            self._mailbox = self._submit(self._load.result())
        return await self._mailbox.next(interval)

    async def wait_ended(self) -> None:
        """Returns when the request has ended in the worker: `next` then returns all the rest at once."""
        assert self._mailbox is not None
        await self._mailbox.wait_ended()

    def take_entries(self) -> list[StageEntry]:
        """Returns the stages that the request's answers came to since the last call, in order."""
        return self._mailbox.take_entries() if self._mailbox is not None else []

    def close(self) -> None:
        """Ends the request, whatever stage it is in."""
        if not self._load.cancel() and not self._load.cancelled():
            self._load.exception()  # Retrieved, or asyncio would complain of it: the reader may never have asked.
        if self._client is not None and self._mailbox is not None:
            self._client.close_request(self._mailbox)
            self._model.note_end(self._request, whole=self._mailbox.is_whole)

    def _submit(self, client: WorkerClient) -> Mailbox:
        self._model.refuse_what_embeds_only()
        self._client = client
        return client.submit(self._request, self._identity)
