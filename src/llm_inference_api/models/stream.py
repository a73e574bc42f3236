"""Stream of one request: waits for the model's load, submits the request, and reads the worker's deltas."""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from llm_inference_api.errors import ServiceError
from llm_inference_api.models.losses import is_loss
from llm_inference_api.requests.events import Progress, Stage
from llm_inference_api.requests.model_status import ModelStatus
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.requests.step import Delta, StageEntry
from llm_inference_api.worker.mailbox import Mailbox


class ModelClient(Protocol):
    """What computes the requests of a model."""

    def submit(self, request: GenerationRequest, identity: Mapping[str, object]) -> Mailbox:
        """Sends a request on and returns the mailbox that receives its deltas. Raises ServiceError if it is refused."""

    def close_request(self, mailbox: Mailbox) -> None:
        """Removes a request; cancels it if it has not ended."""


class Host(Protocol):
    """The model that a stream belongs to."""

    status: ModelStatus

    @property
    def awaits_room(self) -> bool:
        """Whether the load waits for other models to leave the memory."""

    def admitted(self, work: GenerationRequest, *, is_new: bool = True) -> AbstractAsyncContextManager[ModelClient]:
        """Yields the model's client, to which the request must be submitted before the block awaits anything."""

    def refuse_what_embeds_only(self) -> None:
        """Raises UnsupportedError if the model computes embeddings only, or ranks only."""

    def note_end(self, request: GenerationRequest, *, whole: bool) -> None:
        """Records the end of a request; `whole` if all its answers were complete."""


class ModelStream:
    """One request to one model, from the load to the end. Closing it cancels unfinished answers.

    A request that is lost with the worker, before its caller was sent anything of it, is run again.
    """

    def __init__(self, model: Host, request: GenerationRequest, identity: Mapping[str, object]) -> None:
        self.attempt = 1
        """Grows when the request is run again; deltas of earlier attempts are void then."""
        self.is_sent = False
        """Whether the caller was sent some of the answers, so that the request cannot be run again."""
        self.is_sent_when_read = True
        """Whether `next` sets `is_sent`; else the reader does."""
        self._model = model
        self._request = request
        self._identity = identity
        self._client: ModelClient | None = None
        self._mailbox: Mailbox | None = None
        self._submission = asyncio.ensure_future(self._submit())

    async def next(self, interval: float | None) -> tuple[Delta, ...] | Progress:
        """Returns the deltas since the last call, or the request's stage if none arrive within `interval` seconds.

        Raises:
            OverloadedError: The model's queue is full.
            PoisonRequestError: The request crashes the worker.
            ServiceError: The load failed, or the worker ended the request.
        """
        while True:
            if self._mailbox is None:
                if not (await asyncio.wait({self._submission}, timeout=interval))[0]:
                    return Progress(Stage.QUEUED if self._model.awaits_room else Stage.LOADING)
                self._mailbox = self._submission.result()
            if self._is_to_run_again(self._mailbox.error):
                self._run_again()
                continue
            try:
                arrived = await self._mailbox.next(interval)
            except ServiceError as error:
                if not self._is_to_run_again(error):
                    raise
                continue
            if self.is_sent_when_read and not isinstance(arrived, Progress):
                self.is_sent = True
            return arrived

    async def wait_ended(self) -> None:
        """Waits until the request has ended in the worker; `next` then returns all remaining deltas at once."""
        assert self._mailbox is not None
        await self._mailbox.wait_ended()

    def take_entries(self) -> list[StageEntry]:
        """Returns the stages that the request's answers entered since the last call, in order."""
        return self._mailbox.take_entries() if self._mailbox is not None else []

    def close(self) -> None:
        """Ends the request, in any stage."""
        is_done = not self._submission.cancel() and not self._submission.cancelled()
        # Retrieves the exception too, or asyncio would log it as never retrieved.
        if is_done and self._submission.exception() is None:
            self._mailbox = self._submission.result()
        if self._client is not None and self._mailbox is not None:
            self._client.close_request(self._mailbox)
            self._model.note_end(self._request, whole=self._mailbox.is_whole)

    def _is_to_run_again(self, error: ServiceError | None) -> bool:
        return error is not None and not self.is_sent and is_loss(error)

    def _run_again(self) -> None:
        self._mailbox = None
        self.attempt += 1
        self._submission = asyncio.ensure_future(self._submit())

    async def _submit(self) -> Mailbox:
        async with self._model.admitted(self._request, is_new=self.attempt == 1) as client:
            self._model.refuse_what_embeds_only()
            self._client = client
            return client.submit(self._request, self._identity)
