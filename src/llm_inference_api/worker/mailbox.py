"""Buffer for the deltas of one request, between the worker's reader and the request's consumer."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from copy import copy

from llm_inference_api.errors import ServiceError
from llm_inference_api.processes.running_time import RunningTimer
from llm_inference_api.requests.events import CallPart, Progress, Stage
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.requests.step import Delta, StageEntry


class Mailbox:
    """Buffers the deltas of one request's answers. Not thread-safe: for the event loop's thread, with one reader."""

    def __init__(self, request: GenerationRequest, identity: Mapping[str, object]) -> None:
        self.request = request
        self.identity = identity
        """Fields added to log records about the request."""
        self.progress = Progress(Stage.QUEUED)
        """The worker's last progress report."""
        self.started_at = time.monotonic()
        self._end_queue: Callable[[], None] = lambda: None
        self._entries: list[StageEntry] = []
        self._deltas: dict[int, list[Delta]] = {}
        self._reports: deque[Progress] = deque()
        """Progress that the request wants to be told of, and was not yet."""
        self._running = request.n
        """Number of answers without a finish reason."""
        self._is_queued = True
        self._error: ServiceError | None = None
        self._reader: asyncio.Future[None] | None = None
        self._due: float | None = None
        """The loop's time at which the reader is told of the progress; None if it waits without a limit."""
        self._reminder: asyncio.TimerHandle | None = None
        self._is_patient = False
        """Whether the reader waits in `wait_ended`, so that deltas need not wake it."""

    @property
    def ended(self) -> bool:
        """Whether all answers have finished or the request has failed."""
        return not self._running or self._error is not None

    @property
    def running(self) -> int:
        """Number of answers that the worker still owes."""
        return 0 if self._error is not None else self._running

    @property
    def error(self) -> ServiceError | None:
        """The error that the request failed with; None if it has not failed."""
        return self._error

    @property
    def is_queued(self) -> bool:
        """Whether no answer has been admitted to a slot yet."""
        return self._is_queued

    @property
    def is_whole(self) -> bool:
        """Whether all answers have a finish reason."""
        return not self._running

    def enter(self, entry: StageEntry) -> None:
        """Records that an answer entered a stage."""
        self._entries.append(entry)
        if entry.stage is Stage.PREFILL:
            self._is_queued = False
            self.end_queue()

    def queue_until(self, timer: RunningTimer) -> None:
        """Takes the timer that ends the wait for a slot, to be cancelled once an answer has one.

        The other answers may have to wait for that very one, where the cache does not hold all at once.
        """
        self._end_queue = timer.cancel

    def end_queue(self) -> None:
        """Cancels the timer of the queue."""
        self._end_queue()

    def close(self) -> None:
        """Cancels the timers; what is buffered can still be read."""
        self.end_queue()
        if self._reminder is not None:
            self._reminder.cancel()
            self._reminder = None

    def take_entries(self) -> list[StageEntry]:
        """Returns the stage entries since the last call, in order, and clears them."""
        entries, self._entries = self._entries, []
        return entries

    def report(self, progress: Progress) -> None:
        """Notes where the request stands; the reader of a request that wants progress is told at once."""
        self.progress = progress
        if self.request.wants_progress and progress.stage is Stage.PREFILL:
            self._reports.append(progress)
            if not self._is_patient:
                self._wake()

    def put(self, delta: Delta) -> None:
        """Adds a delta."""
        self._deltas.setdefault(delta.answer, []).append(delta)
        if delta.finish_reason is not None:
            self._running -= 1
        if not self._is_patient or self.ended:
            self._wake()

    def fail(self, error: ServiceError) -> None:
        """Fails the request; the reader gets the buffered deltas first, then the error."""
        if not self.ended:
            self._error = error
            self._wake()

    async def next(self, interval: float | None) -> tuple[Delta, ...] | Progress:
        """Waits for deltas and returns all that are buffered, joined to one per answer.

        If none arrives within `interval` seconds, returns the request's progress; None waits without a limit. Raises
        the error that the request failed with, once no delta is buffered. Progress that the request wants comes first.
        """
        if not self._reports and not self._deltas and self._error is None:
            await self._news(interval)
        if self._reports:
            return self._reports.popleft()
        if self._deltas:
            deltas = tuple(map(_joined, self._deltas.values()))
            self._deltas.clear()
            return deltas
        if self._error is not None:
            raise copy(self._error)  # A worker's death is one error for all its requests.
        return self.progress

    async def wait_ended(self) -> None:
        """Waits for the end of the request. Deltas do not wake the reader, unlike in `next`."""
        self._is_patient = True
        while not self.ended:
            await self._news(None)

    async def _news(self, interval: float | None) -> None:
        loop = asyncio.get_running_loop()
        self._due = None if interval is None else loop.time() + interval
        if self._due is not None:
            self._remind_by(self._due)
        self._reader = loop.create_future()
        try:
            await self._reader
        finally:
            self._reader = None

    def _remind_by(self, due: float) -> None:
        if self._reminder is not None:
            if self._reminder.when() <= due:
                return
            self._reminder.cancel()
        self._reminder = asyncio.get_running_loop().call_at(due, self._remind)

    def _remind(self) -> None:
        """Wakes the reader if it is due. One timer serves all waits, since an answer has thousands of them."""
        self._reminder = None
        if self._reader is None or self._due is None:
            return
        if asyncio.get_running_loop().time() < self._due:
            self._remind_by(self._due)
        else:
            self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


def _joined(deltas: list[Delta]) -> Delta:
    if len(deltas) == 1:
        return deltas[0]
    return deltas[-1]._replace(
        text="".join(delta.text for delta in deltas),
        thought="".join(delta.thought for delta in deltas),
        logprobs=tuple(entry for delta in deltas for entry in delta.logprobs),
        calls=_joined_calls(part for delta in deltas for part in delta.calls),
    )


def _joined_calls(parts: Iterable[CallPart]) -> tuple[CallPart, ...]:
    """Returns the parts with the arguments of a call in one; the part that begins it, with its name, stays apart."""
    joined: list[CallPart] = []
    for part in parts:
        last = joined[-1] if joined else None
        if last is not None and last.call == part.call and not last.name and not part.name:
            joined[-1] = last._replace(arguments=last.arguments + part.arguments)
        else:
            joined.append(part)
    return tuple(joined)
