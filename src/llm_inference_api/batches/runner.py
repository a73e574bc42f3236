"""`Runner`: takes each batch from state to state until it has ended.

The store has the truth: each step begins with what it says, so that a service that was killed goes on where it stood.
"""

import asyncio
import logging
import time
from contextlib import suppress

from llm_inference_api.batches.lines import LineWire
from llm_inference_api.batches.places import Places
from llm_inference_api.batches.records import AnsweredLine, BatchJob, Line, LineProblem, Status
from llm_inference_api.batches.store import Store
from llm_inference_api.batches.validation import Validation
from llm_inference_api.errors import OverloadedError, QuotaError, UnavailableError
from llm_inference_api.observability.batch_metrics import BatchMetrics
from llm_inference_api.observability.log import fields
from llm_inference_api.rpc.off_loop import off_loop

_SHORTEST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
"""Seconds after which a line is tried again whose model had no capacity: doubled from one to the other."""
_STORE_PAUSE = 30.0
"""Seconds after which a batch goes on whose store failed, such as for a full disk."""
_SWEEP = 60.0
"""Seconds between two looks for what has expired."""
_GIVEN_UP = {
    Status.CANCELLED: ("batch_cancelled", "The batch was cancelled before this request was computed."),
    Status.EXPIRED: ("batch_expired", "This request could not be computed before the completion window ended."),
}
"""Code and message of the lines that were not computed, by the state in which the batch ends."""

logger = logging.getLogger(__name__)


class Runner:
    """Computes all batches. For the event loop's thread."""

    def __init__(self, store: Store, wire: LineWire, lines_at_once: int, metrics: BatchMetrics) -> None:
        """Creates a runner that is not started.

        Args:
            store: Has the batches; it is opened by `start`, and closed by `close`.
            wire: Reads and answers the lines.
            lines_at_once: Maximum number of lines that are computed at a time.
            metrics: Told of batches, lines and the size of the store.
        """
        self._store = store
        self._wire = wire
        self._at_once = lines_at_once
        self._places = Places(lines_at_once)
        self._metrics = metrics
        self._tasks: set[asyncio.Task[None]] = set()
        self._answering: dict[str, asyncio.Task[None]] = {}
        """By batch, the part of its task that answers lines, which a cancel ends."""
        self._is_stopped = False

    async def start(self) -> None:
        """Opens the store, and goes on with the batches that had not ended. Raises StartError if it cannot be used."""
        await self._store.open()
        for batch in await self._store.do(self._store.batches.unfinished):
            logger.info("batch goes on", extra=fields(**_facts(batch)))
            self.run(batch)
        self._begin(asyncio.create_task(self._sweep()))

    async def stop(self) -> None:
        """Ends all work; the lines that are being computed are computed again by the next start."""
        self._is_stopped = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self) -> None:
        """Stops, and closes the store."""
        await self.stop()
        await self._store.close()

    def run(self, batch: BatchJob) -> None:
        """Begins with a batch, or goes on with it."""
        if not self._is_stopped:  # Else the next start does.
            self._begin(asyncio.create_task(self._run(batch), name=batch.id))

    def cancel(self, batch: BatchJob) -> None:
        """Ends the lines of a batch whose state has become `cancelling`. The batch ends soon afterwards."""
        if (answering := self._answering.get(batch.id)) is not None:
            answering.cancel()

    def _begin(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, batch: BatchJob) -> None:
        failure: LineProblem | None = None
        while not batch.status.is_final:
            try:
                await self._note_state()
                batch = await self._store.do(self._store.batches.current, batch)
                await (self._step(batch) if failure is None else self._end(batch, Status.FAILED, failure))
                batch = await self._store.do(self._store.batches.current, batch)
            except QuotaError as error:
                failure = LineProblem("batch_quota", f"an answer could not be kept: {error}")
            except UnavailableError as error:
                logger.warning("batch waits: %s", error, extra=fields(**_facts(batch)))
                await asyncio.sleep(_STORE_PAUSE)
            except Exception:
                logger.exception("internal error in a batch", extra=fields(**_facts(batch)))
                failure = LineProblem("internal_error", "internal error; the service's log has more")
                await asyncio.sleep(_SHORTEST_PAUSE)
        with suppress(UnavailableError):  # The next sweep notes it.
            await self._note_state()

    async def _step(self, batch: BatchJob) -> None:
        """Takes a batch to its next state."""
        match batch.status:
            case Status.VALIDATING:
                await self._validate(batch)
            case Status.IN_PROGRESS:
                await self._answer(batch)
            case Status.FINALIZING:
                await self._end(batch, Status.COMPLETED)
            case Status.CANCELLING:
                await self._give_up(batch, Status.CANCELLED)

    async def _validate(self, batch: BatchJob) -> None:
        validation, after = Validation(batch, self._wire), 0
        while lines := await self._store.do(self._store.batches.input_lines, batch, after):
            await off_loop(_size(lines), validation.read, lines)
            after = lines[-1].number
        validation.end()
        if validation.problems:
            await self._end(batch, Status.FAILED, *validation.problems)
        else:
            await self._store.do(self._store.batches.begin, batch, validation.total, validation.model)

    async def _answer(self, batch: BatchJob) -> None:
        """Answers all lines, within the batch's time; what is left then is given up."""
        answering = asyncio.create_task(self._answer_all(batch))
        self._answering[batch.id] = answering
        try:
            await asyncio.wait({answering}, timeout=max(0.0, batch.expires_at - time.time()))
        finally:
            del self._answering[batch.id]
            is_late = answering.cancel()
            await asyncio.wait({answering})
        if not answering.cancelled():
            answering.result()
        if is_late:
            await self._give_up(batch, Status.EXPIRED)
        elif not answering.cancelled():
            await self._store.do(self._store.batches.finalize, batch)

    async def _answer_all(self, batch: BatchJob) -> None:
        own = asyncio.Semaphore(self._at_once)
        tasks: set[asyncio.Task[None]] = set()
        after = 0
        try:
            while numbers := await self._store.do(self._store.batches.unanswered_numbers, batch, after):
                for number in numbers:
                    await own.acquire()
                    task = asyncio.create_task(self._answer_line(batch, number))
                    tasks.add(task)
                    task.add_done_callback(lambda _: own.release())
                    tasks = _unended(tasks)
                after = numbers[-1]
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _answer_line(self, batch: BatchJob, number: int) -> None:
        """Answers a line; it is read only once there is a place to compute it, and read again for each try."""
        pause = _SHORTEST_PAUSE
        while True:
            async with self._places.one(batch.caller):
                line = await self._store.do(self._store.batches.input_line, batch, number)
                if line.is_blank:
                    return
                try:
                    with self._metrics.running_line():
                        answered = await self._wire.answer(batch, line)
                except (OverloadedError, UnavailableError) as error:
                    logger.info("line of a batch waits: %s", error, extra=fields(batch=batch.id, line=number))
                    wait = max(pause, error.retry_after)
                else:
                    await self._store.do(self._store.batches.answer, batch, [answered])
                    self._metrics.answered(is_error=answered.is_error)
                    return
            await asyncio.sleep(wait)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _give_up(self, batch: BatchJob, ending: Status) -> None:
        """Ends a batch with its unanswered lines among the errors, as far as there is room for them."""
        after = 0
        problems: list[LineProblem] = []
        try:
            while batch.total and (lines := await self._store.do(self._store.batches.unanswered, batch, after)):
                answers = await off_loop(_size(lines), self._given_up, lines, ending)
                await self._store.do(self._store.batches.answer, batch, answers)
                after = lines[-1].number
        except QuotaError as error:
            problems.append(
                LineProblem("batch_quota", f"the lines that were not computed could not be listed: {error}")
            )
        await self._end(batch, ending, *problems)

    def _given_up(self, lines: list[Line], ending: Status) -> list[AnsweredLine]:
        return [self._wire.give_up(line, *_GIVEN_UP[ending]) for line in lines if not line.is_blank]

    async def _end(self, batch: BatchJob, status: Status, *problems: LineProblem) -> None:
        ended = await self._store.do(self._store.batches.end, batch, status, problems)
        logger.info("batch ended", extra=fields(**_facts(ended)))

    async def _sweep(self) -> None:
        """Deletes what has expired, and frees the space of what was deleted."""
        while True:
            try:
                await self._store.do(self._store.batches.expire)
                await self._store.do(self._store.files.expire)
                while await self._store.do(self._store.files.purge):
                    pass
                await self._note_state()
            except UnavailableError as error:
                logger.warning("expired files of batches could not be deleted: %s", error)
            await asyncio.sleep(_SWEEP)

    async def _note_state(self) -> None:
        counts = await self._store.do(self._store.batches.counts)
        self._metrics.stored(counts, await self._store.do(self._store.files.size))


def _unended(tasks: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
    """Returns the tasks that have not ended. Raises what one that has ended raised."""
    for task in tasks:
        if task.done():
            task.result()
    return {task for task in tasks if not task.done()}


def _size(lines: list[Line]) -> int:
    return sum(len(line.data) for line in lines)


def _facts(batch: BatchJob) -> dict[str, object]:
    """Returns the fields of a batch's log lines."""
    counts = {"total": batch.total, "completed": batch.completed, "failed": batch.failed}
    return {"batch": batch.id, "caller": batch.caller, "status": batch.status.value, **counts}
