"""Reads what a worker, or a model, has for one request, delta by delta."""

from collections import deque
from collections.abc import Callable
from typing import Protocol, Self

from llm_inference_api.models.served_model import ServedModel
from llm_inference_api.requests.events import Progress
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.requests.step import Delta
from llm_inference_api.worker.client import WorkerClient


class Source(Protocol):
    async def next(self, interval: float | None) -> tuple[Delta, ...] | Progress:
        """Returns what has arrived."""


class Items:
    """The deltas of a request, and where it stands where none came in time. Closing it cancels the request."""

    def __init__(self, source: Source, close: Callable[[], None], answers: int, interval: float | None) -> None:
        self.source = source
        self._close = close
        self._left = answers
        self._interval = interval
        self._items: deque[Delta | Progress] = deque()
        self._is_closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Delta | Progress:
        while not self._items:
            if not self._left:
                await self.aclose()
                raise StopAsyncIteration
            try:
                arrived = await self.source.next(self._interval)
            except BaseException:
                await self.aclose()
                raise
            self._items.extend([arrived] if isinstance(arrived, Progress) else arrived)
        item = self._items.popleft()
        self._left -= isinstance(item, Delta) and item.finish_reason is not None
        return item

    async def aclose(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._close()


def of_client(client: WorkerClient, request: GenerationRequest, interval: float | None = None) -> Items:
    """Submits the request to a worker."""
    mailbox = client.submit(request, {})
    return Items(mailbox, lambda: client.close_request(mailbox), request.n, interval)


def of_model(model: ServedModel, request: GenerationRequest, interval: float | None = None) -> Items:
    """Submits the request to a model, which is loaded where it is not."""
    stream = model.open(request, {})
    return Items(stream, stream.close, request.n, interval)
