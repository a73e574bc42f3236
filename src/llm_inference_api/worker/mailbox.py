"""What a worker has for one request, until its reader takes it."""

import asyncio
import time
from collections.abc import Mapping

from llm_inference_api.errors import ServiceError
from llm_inference_api.requests.events import Progress, Stage
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.requests.step import Delta, StageEntry


class Mailbox:
    """Holds the deltas of one request's answers. Belongs to the event loop's thread, with one reader."""

    def __init__(self, request: GenerationRequest, identity: Mapping[str, object]) -> None:
        self.request = request
        self.identity = identity
        """Named values of log lines about the request."""
        self.progress = Progress(Stage.QUEUED)
        """Where the request stood at the worker's last report."""
        self.started_at = time.monotonic()
        self._entries: list[StageEntry] = []
        self._deltas: dict[int, list[Delta]] = {}
        self._running = request.n
        """Answers that have not ended."""
        self._error: ServiceError | None = None
        self._reader: asyncio.Future[None] | None = None
        self._is_patient = False
        """Whether the reader waits for the end, not for the next delta."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will arrive."""
        return not self._running or self._error is not None

    @property
    def is_whole(self) -> bool:
        """Whether all answers have arrived to their ends."""
        return not self._running

    def enter(self, entry: StageEntry) -> None:
        """Notes that an answer came to a stage."""
        self._entries.append(entry)

    def take_entries(self) -> list[StageEntry]:
        """Returns the stages that answers came to since the last call, in order."""
        entries, self._entries = self._entries, []
        return entries

    def put(self, delta: Delta) -> None:
        """Adds what a step computed."""
        self._deltas.setdefault(delta.answer, []).append(delta)
        if delta.finish_reason is not None:
            self._running -= 1
        if not self._is_patient or self.ended:
            self._wake()

    def fail(self, error: ServiceError) -> None:
        """Ends the request with an error, after the deltas that have arrived."""
        if not self.ended:
            self._error = error
            self._wake()

    async def next(self, interval: float | None) -> tuple[Delta, ...] | Progress:
        """Returns all that has arrived since the last call, joined to one delta for each answer.

        Waits where that is nothing, and returns where the request stands after `interval` seconds. Raises the error
        that ended the request.
        """
        if not self._deltas and self._error is None:
            await self._news(interval)
        if self._deltas:
            deltas = tuple(map(_joined, self._deltas.values()))
            self._deltas.clear()
            return deltas
        if self._error is not None:
            raise self._error
        return self.progress

    async def end(self) -> None:
        """Returns when nothing more will arrive. A reader that needs no parts is woken once, not at each step."""
        self._is_patient = True
        while not self.ended:
            await self._news(None)

    async def _news(self, interval: float | None) -> None:
        loop = asyncio.get_running_loop()
        self._reader = loop.create_future()
        timer = loop.call_later(interval, self._wake) if interval is not None else None
        try:
            await self._reader
        finally:
            self._reader = None
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


def _joined(deltas: list[Delta]) -> Delta:
    if len(deltas) == 1:
        return deltas[0]
    text = "".join(delta.text for delta in deltas)
    return deltas[-1]._replace(text=text, logprobs=tuple(entry for delta in deltas for entry in delta.logprobs))
