"""`ReplicaClient`: sends requests to a model's replicas and fills the requests' mailboxes with what they say."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any

from ray.exceptions import RayError
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle

from llm_inference_api.cluster.affinity import affinity_key
from llm_inference_api.cluster.replica import Outcome, Part
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

    def __init__(self, handle: DeploymentHandle[Any], queue_timeout: float, silence: float) -> None:
        """Creates the client.

        Args:
            handle: Handle on the replicas.
            queue_timeout: Seconds in which a replica must take a request.
            silence: Seconds without any sign of life after which a replica that has a request is gone.
        """
        self._handle = handle
        self._queue_timeout = queue_timeout
        self._silence = silence
        self._pumps: dict[Mailbox, asyncio.Task[None]] = {}
        """Tasks that fill the mailboxes of open requests."""

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
        """Returns what a method of a replica returns.

        Raises:
            ServiceError: The method's error; or no replica could answer.
        """
        try:
            outcome: Outcome = await self._handle.options(method_name=method).remote(*arguments)
        except (RayError, RayServeException) as error:
            raise self._described(error) from error
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
        request = mailbox.request
        options = self._handle.options(method_name="generate", stream=True, session_id=affinity_key(request))
        parts = options.remote(request, mailbox.identity)
        try:
            await self._fill(mailbox, aiter(parts))
        except (RayError, RayServeException) as error:
            mailbox.fail(self._described(error))
        except TimeoutError:
            problem = f"the replica that had the request was silent for {self._silence:g} s"
            mailbox.fail(UnavailableError(REPLICA_DIED, problem))
        except Exception:
            logger.exception("a request to a replica failed", extra={"fields": mailbox.identity})
            mailbox.fail(UnavailableError("CLUSTER_FAILED", "the cluster failed the request; see the service's log"))
        finally:
            if not mailbox.is_whole:
                parts.cancel()

    async def _fill(self, mailbox: Mailbox, parts: AsyncIterator[Part]) -> None:
        first = await anext(parts)
        mailbox.end_queue()
        offset = time.monotonic() - first.now
        while not mailbox.ended:
            async with asyncio.timeout(self._silence):
                part = await anext(parts)
            for entry in part.entries:
                mailbox.enter(entry._replace(at=entry.at + offset))
            if isinstance(part.arrived, Progress):
                mailbox.report(part.arrived)
            else:
                for delta in part.arrived or ():
                    mailbox.put(_shifted(delta, offset))
            if part.error is not None:
                mailbox.fail(part.error)

    def _end(self, mailbox: Mailbox, _pump: asyncio.Task[None]) -> None:
        mailbox.end_queue()
        del self._pumps[mailbox]

    def _expire(self, mailbox: Mailbox) -> None:
        """Refuses a request that no replica has taken within the queue timeout."""
        seconds = self._queue_timeout
        mailbox.fail(OverloadedError(f"no replica had a free slot within {seconds:g} s", seconds))
        self.close_request(mailbox)

    def _described(self, error: Exception) -> ServiceError:
        if isinstance(error, BackPressureError):
            problem = "as many requests wait for the replicas of this model as may (LLM_MAX_QUEUED_REQUESTS)"
            return OverloadedError(problem, _RETRY_AFTER)
        problem = "the replica that had the request is gone, with its process or its machine"
        return UnavailableError(REPLICA_DIED, problem)


def _shifted(delta: Delta, offset: float) -> Delta:
    return delta._replace(ended_at=delta.ended_at + offset) if delta.finish_reason is not None else delta
