"""Ends streams whose reader has stopped reading.

A reader whose flow-control window is full blocks the write of a message. The call would hold its place, and the drain
of the service, for as long as the reader likes.
"""

import asyncio
from typing import Any

import grpc.aio

from llm_inference_api.errors import WriteTimeoutError
from llm_inference_api.processes.running_time import running_time
from llm_inference_api.rpc.admission import Admission
from llm_inference_api.rpc.call import Call

DRAIN_SECONDS = 5.0
"""Limit of a write while the service drains, if that is less than the limit otherwise."""


class StallLimit:
    """Limits how long each write of one call may take. To be created and used in the call's task.

    One timer looks after all writes, since a stream has thousands of them.
    """

    def __init__(self, call: Call, seconds: float, admission: Admission) -> None:
        """Creates the limit; `close` must be called.

        Args:
            call: The call.
            seconds: Limit of a write; time in which this process was paused does not count.
            admission: Says whether the service drains.
        """
        self._call = call
        self._seconds = seconds
        self._admission = admission
        self._task = asyncio.current_task()
        self._clock = running_time()
        self._since: float | None = None
        """Time of the clock at which the write that has not returned began."""
        self.is_blocked = False
        """Whether a write was cut off before the reader took its message; gRPC can send no other one then."""
        self._is_over = False
        self._timer = self._clock.call_later(min(seconds, DRAIN_SECONDS), self._check)

    async def write(self, message: Any) -> None:
        """Sends a message.

        Raises:
            WriteTimeoutError: The reader took nothing within the limit.
            asyncio.CancelledError: The reader has left.
        """
        self._since = self._clock.time()
        self.is_blocked = True
        try:
            if not self._call.is_begun:
                # Else gRPC sends it with the first message and, where that is blocked, cannot send a status any more.
                await self._call.send_initial_metadata(())
            await self._call.context.write(message)
            self.is_blocked = False
        except asyncio.CancelledError:
            if not self._is_over:
                raise
            assert self._task is not None
            self._task.uncancel()
            raise WriteTimeoutError(self._limit) from None
        except grpc.aio.BaseError as error:  # The write fails; the cancellation of the call is still on its way.
            raise asyncio.CancelledError from error
        finally:
            self._since = None

    def close(self) -> None:
        """Stops the timer."""
        self._timer.cancel()

    @property
    def _limit(self) -> float:
        return min(self._seconds, DRAIN_SECONDS) if self._admission.is_closed else self._seconds

    def _check(self) -> None:
        now = self._clock.time()
        since = now if self._since is None else self._since
        if now - since >= self._limit:
            self._is_over = True
            assert self._task is not None
            self._task.cancel()
            return
        step = min(self._seconds, DRAIN_SECONDS)
        due = since + self._limit
        self._timer = self._clock.call_at(min(due, now + step), self._check)
