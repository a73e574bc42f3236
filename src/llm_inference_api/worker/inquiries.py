"""Table of a worker's open inquiries and errands."""

import asyncio
import itertools
from collections.abc import Callable
from copy import copy
from typing import Any

from llm_inference_api.errors import ServiceError
from llm_inference_api.requests.classifying import Classes, Classify
from llm_inference_api.requests.errand import Errand
from llm_inference_api.requests.inquiry import Embed, Embeddings, Found, Inquiry
from llm_inference_api.requests.ranking import Rank, Relevances
from llm_inference_api.worker.messages import Abandon, Answered, Compute, Inquire, ToWorker


class OpenInquiries:
    """Open inquiries and errands of one worker, by id. Not thread-safe: for the event loop's thread."""

    def __init__(self, send: Callable[[ToWorker], None]) -> None:
        self._send = send
        self._open: dict[int, asyncio.Future[Any]] = {}
        self._asked: dict[int, Inquiry | Errand] = {}
        self._next_id = itertools.count()
        self.embedding = 0
        """Number of open errands."""

    def __len__(self) -> int:
        return len(self._open)

    def get(self, inquiry_id: int) -> Inquiry | Errand | None:
        """Returns the open inquiry or errand; None if it is not open."""
        return self._asked.get(inquiry_id)

    async def find(self, inquiry: Inquiry, caller: str = "") -> Found:
        """Sends a caller's inquiry and returns the worker's answer.

        Raises the worker's error, or the one passed to `fail`. If the caller is cancelled, the worker is told to
        abandon the inquiry.
        """
        inquiry_id = next(self._next_id)
        try:
            findings: Found = await self._ask(inquiry_id, inquiry, Inquire(inquiry_id, inquiry, caller))
        except asyncio.CancelledError:
            self._send(Abandon(inquiry_id))
            raise
        return findings

    async def embed(self, embed: Embed) -> Embeddings:
        """Sends an embedding request and returns the embeddings; raises as `find` does.

        If the caller is cancelled, the worker is told to abandon the request.
        """
        embeddings: Embeddings = await self._computed(embed)
        return embeddings

    async def rank(self, rank: Rank) -> Relevances:
        """Sends a request to rank and returns the documents' relevance; as `embed`."""
        relevances: Relevances = await self._computed(rank)
        return relevances

    async def classify(self, classify: Classify) -> Classes:
        """Sends a request to classify and returns how probable the labels are; as `embed`."""
        classes: Classes = await self._computed(classify)
        return classes

    async def _computed(self, errand: Errand) -> Any:
        inquiry_id = next(self._next_id)
        self.embedding += 1
        try:
            return await self._ask(inquiry_id, errand, Compute(inquiry_id, errand))
        except asyncio.CancelledError:
            self._send(Abandon(inquiry_id))
            raise
        finally:
            self.embedding -= 1

    async def _ask(self, inquiry_id: int, asked: Inquiry | Errand, message: Inquire | Compute) -> Any:
        self._asked[inquiry_id] = asked
        future = self._open[inquiry_id] = asyncio.get_running_loop().create_future()
        self._send(message)
        try:
            return await future
        finally:
            del self._open[inquiry_id], self._asked[inquiry_id]

    def settle(self, answer: Answered) -> None:
        """Completes the inquiry's future with the answer; an answer to a closed inquiry is ignored."""
        future = self._open.get(answer.inquiry_id)
        if future is None or future.done():
            return
        if isinstance(answer.findings, ServiceError):
            # A worker's death is one error for all its inquiries, and one that is raised twice keeps both tracebacks.
            future.set_exception(copy(answer.findings))
        else:
            future.set_result(answer.findings)

    def fail(self, error: ServiceError) -> None:
        """Fails all open inquiries, each with a copy of the error."""
        for inquiry_id in list(self._open):
            self.settle(Answered(inquiry_id, error))
