"""`ReplicaClient`: sends requests to a model's replicas and fills the requests' mailboxes with what they say."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from llm_inference_api.cluster.affinity import affinity_key
from llm_inference_api.cluster.channel import Inbox
from llm_inference_api.cluster.replica import Outcome, StreamPart
from llm_inference_api.errors import REPLICA_DIED, OverloadedError, ServiceError, UnavailableError
from llm_inference_api.processes.running_time import running_time
from llm_inference_api.requests.events import Progress
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.requests.step import Delta
from llm_inference_api.worker.mailbox import Mailbox

_RETRY_AFTER = 1.0
"""Seconds after which a request may be sent again that was refused because many wait."""

logger = logging.getLogger(__name__)


class ReplicaClient:
    """Client of all replicas of one model. Not thread-safe: call all methods on the event loop's thread."""

    def __init__(
        self, handle: DeploymentHandle[Any], inbox: Inbox, capacity: int, queue_timeout: float, silence: float
    ) -> None:
        """Creates the client.

        Args:
            handle: Handle on the replicas.
            inbox: Receives what they say.
            capacity: Answers of this client's that may run or wait.
            queue_timeout: Seconds in which a replica must take a request.
            silence: Seconds without any sign of life after which a replica that has a request is gone.
        """
        self._handle = handle
        self._inbox = inbox
        self._capacity = capacity
        self._queue_timeout = queue_timeout
        self._silence = silence
        self._errands = 0
        """Open calls that take a place."""
        self._pumps: dict[Mailbox, asyncio.Task[None]] = {}
        """Tasks that fill the mailboxes of open requests."""

    def check_place(self, request: GenerationRequest) -> None:
        """Raises OverloadedError if the request's answers would exceed the capacity; background ones have their own."""
        others = (box for box in self._pumps if box.request.is_background is request.is_background)
        if (count := sum(box.running for box in others)) + request.n > self._capacity:
            problem = f"{count} of {self._capacity} requests are running or waiting for this model's replicas"
            raise OverloadedError(problem if request.n == 1 else f"{problem}; n is too many", _RETRY_AFTER)

    @contextmanager
    def errand(self) -> Iterator[None]:
        """Takes a place for a call in the block. Raises OverloadedError if there is none."""
        if self._errands >= self._capacity:
            problem = f"{self._errands} requests to embed, rank or classify are open for this model, which is its limit"
            raise OverloadedError(problem, _RETRY_AFTER)
        self._errands += 1
        try:
            yield
        finally:
            self._errands -= 1

    def submit(self, request: GenerationRequest, identity: Mapping[str, object]) -> Mailbox:
        """Sends a request to a replica and returns the mailbox that receives its deltas."""
        mailbox = Mailbox(request, identity)
        pump = asyncio.create_task(self._pump(mailbox))
        self._pumps[mailbox] = pump
        pump.add_done_callback(partial(self._end, mailbox))
        if not request.is_background:
            mailbox.queue_until(running_time().call_later(self._queue_timeout, partial(self._expire, mailbox)))
        return mailbox

    def close_request(self, mailbox: Mailbox) -> None:
        """Removes a request; cancels it in the replica if it has not ended."""
        if (pump := self._pumps.get(mailbox)) is not None:
            pump.cancel()

    async def ask(self, method: str, *arguments: object) -> Any:
        """Returns what a method of a replica returns; cancels the call there if this one is cancelled.

        Raises:
            ServiceError: The method's error; or no replica could answer.
        """
        call = self._handle.options(method_name=method).remote(*arguments)
        try:
            outcome: Outcome = await call
        except (RayError, RayServeException) as error:
            raise _gone() from error
        except asyncio.CancelledError:
            call.cancel()
            raise
        if outcome.error is not None:
            raise outcome.error
        return outcome.result

    def fail(self, error: ServiceError) -> None:
        """Ends all requests with the error."""
        for mailbox in list(self._pumps):
            mailbox.fail(error)
            self.close_request(mailbox)

    def fail_queued(self, error: ServiceError) -> None:
        """Ends the requests that are not computed yet with the error."""
        for mailbox in list(self._pumps):
            if mailbox.is_queued:
                mailbox.fail(error)
                self.close_request(mailbox)

    async def _pump(self, mailbox: Mailbox) -> None:
        request, inflow = mailbox.request, _Inflow(mailbox)
        address = self._inbox.open(inflow.receive)
        options = self._handle.options(method_name="generate", session_id=affinity_key(request))
        call = options.remote(request, mailbox.identity, address)
        try:
            outcome = await inflow.watch(call, self._silence)
            if outcome.error is not None:
                mailbox.fail(outcome.error)
            else:
                await inflow.until(outcome.result, self._silence)
        except (RayError, RayServeException):
            mailbox.fail(_gone())
        except TimeoutError:
            problem = f"the replica that had the request was silent for {self._silence:g} s"
            mailbox.fail(UnavailableError(REPLICA_DIED, problem))
        except Exception:
            logger.exception("a request to a replica failed", extra={"fields": mailbox.identity})
            mailbox.fail(UnavailableError("CLUSTER_FAILED", "the cluster failed the request; see the service's log"))
        finally:
            self._inbox.close(address)
            if not mailbox.is_whole:
                call.cancel()

    def _end(self, mailbox: Mailbox, _pump: asyncio.Task[None]) -> None:
        mailbox.close()
        del self._pumps[mailbox]

    def _expire(self, mailbox: Mailbox) -> None:
        """Refuses a request that no replica has taken within the queue timeout."""
        seconds = self._queue_timeout
        mailbox.fail(OverloadedError(f"no replica had a free slot within {seconds:g} s", seconds))
        self.close_request(mailbox)


def _gone() -> UnavailableError:
    return UnavailableError(REPLICA_DIED, "the replica that had the request is gone, with its process or its machine")


class _Inflow:
    """Fills a request's mailbox with the parts that a replica sends."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._count = 0
        self._offset = 0.0
        """What has to be added to times of the replica's machine."""
        self._last: float | None = None
        """When the last part came."""
        self._changed = asyncio.Event()

    def receive(self, part: StreamPart) -> None:
        """Takes the next part; the first one says that a replica has the request."""
        mailbox = self._mailbox
        if not self._count:
            mailbox.end_queue()
            self._offset = time.monotonic() - part.now
        self._count += 1
        self._last = running_time().time()
        self._changed.set()
        for entry in part.entries:
            mailbox.enter(entry._replace(at=entry.at + self._offset))
        if isinstance(part.arrived, Progress):
            mailbox.report(part.arrived)
        else:
            for delta in part.arrived or ():
                mailbox.put(_shifted(delta, self._offset))
        if part.error is not None:
            mailbox.fail(part.error)

    async def watch(self, call: Awaitable[Outcome], silence: float) -> Outcome:
        """Returns the outcome of the call; TimeoutError where nothing comes for some seconds after the first part."""
        task = asyncio.ensure_future(call)
        task.add_done_callback(_look_at)
        try:
            while not task.done():
                left = silence if self._last is None else self._last + silence - running_time().time()
                if left <= 0:
                    raise TimeoutError
                await asyncio.wait({task}, timeout=left)
            return task.result()
        finally:
            task.cancel()

    async def until(self, count: int, silence: float) -> None:
        """Returns once so many parts are there; TimeoutError where none comes for some seconds."""
        while self._count < count:
            self._changed.clear()
            async with asyncio.timeout(silence):
                await self._changed.wait()


def _look_at(task: asyncio.Future[Outcome]) -> None:
    """Takes the error of a call that was cancelled, which asyncio would log."""
    if not task.cancelled():
        task.exception()


def _shifted(delta: Delta, offset: float) -> Delta:
    return delta._replace(ended_at=delta.ended_at + offset) if delta.finish_reason is not None else delta
