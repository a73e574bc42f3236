"""Detects a hung worker: one of its lanes owes something and has sent nothing for longer than its bound.

What is owed follows from the messages to and from the worker. Each lane has its own timer, so a busy lane does not hide
a hung one.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from llm_inference_api.requests.step import StepOutput
from llm_inference_api.worker.messages import (
    Alive,
    Answered,
    Cancel,
    Compute,
    FromWorker,
    Inquire,
    Lane,
    LoadFailed,
    Loading,
    LogLine,
    Prepared,
    Ready,
    Submit,
    ToWorker,
)

_LATE = 1.0
"""Seconds of delay of a timer above which this process is assumed to have been stopped or blocked."""

Key = str | int
"""A request's id, or an inquiry's."""


class Timers(Protocol):
    """What a watchdog needs of an event loop."""

    def time(self) -> float:
        """Returns the seconds on the loop's clock."""

    def call_at(self, when: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """Lets the callback be called at that time."""


class Watchdog:
    """Guards one worker. All methods belong to the event loop's thread."""

    def __init__(self, bounds: Mapping[Lane, float], on_hang: Callable[[str], None], timers: Timers) -> None:
        """Takes the seconds for which each lane may be silent while it owes something, and a callback for a hang.

        The callback gets the cause for an error message, such as `no step ended within 60 s`.
        """
        self._lanes = {
            lane: _Debt(bound, f"{lane.value} within {bound:g} s", on_hang, timers) for lane, bound in bounds.items()
        }
        self._answers: dict[str, int] = {}
        """Answers that each submitted request still owes, by request id; cancelled requests are left out."""

    def started(self) -> None:
        """Notes that the worker's process was started: it owes a model."""
        self._lanes[Lane.LOADING].owe("")

    def sent(self, message: ToWorker) -> None:
        """Notes what the worker owes for a message."""
        match message:
            case Submit(request):
                self._answers[request.id] = request.n
                self._lanes[Lane.PREPARING].owe(request.id)
            case Cancel(request_id):
                self._answers.pop(request_id, None)
                self._lanes[Lane.STEPS].remit(request_id)
            case Inquire(inquiry_id):
                self._lanes[Lane.PREPARING].owe(inquiry_id)
            case Compute(inquiry_id):
                self._lanes[Lane.EMBEDDINGS].owe(inquiry_id)

    def received(self, message: FromWorker) -> None:
        """Notes what a message says of the lane that sent it."""
        match message:
            case StepOutput():
                self._lanes[Lane.STEPS].settle(self._ended(message))
            case Prepared(request_id):
                self._pass_on(request_id)
            case Answered(inquiry_id):
                lane = Lane.PREPARING if self._lanes[Lane.PREPARING].has(inquiry_id) else Lane.EMBEDDINGS
                self._lanes[lane].settle((inquiry_id,))
            case Alive(lane):
                self._lanes[lane].settle()
            case Loading() | LogLine():
                self._lanes[Lane.LOADING].settle()
            case Ready() | LoadFailed():
                self._lanes[Lane.LOADING].settle(("",))

    def _pass_on(self, request_id: str) -> None:
        self._lanes[Lane.PREPARING].settle((request_id,))
        if request_id in self._answers:
            self._lanes[Lane.STEPS].owe(request_id)

    def _ended(self, output: StepOutput) -> list[Key]:
        """Returns the requests whose last answer has ended with the step."""
        ended: list[Key] = [rejection.request_id for rejection in output.rejections]
        for delta in output.deltas:
            if delta.finish_reason and delta.request_id in self._answers:
                self._answers[delta.request_id] -= 1
                if not self._answers[delta.request_id]:
                    ended.append(delta.request_id)
        for request_id in ended:
            self._answers.pop(str(request_id), None)
        return ended

    def close(self) -> None:
        """Ends the watch; the worker is gone."""
        for debt in self._lanes.values():
            debt.close()


class _Debt:
    """What one lane owes, and since when it has been silent.

    Only a message from the lane itself resets the silence or ends the watch. So a series of requests that are cancelled
    early does not hide a hung lane.
    """

    def __init__(self, bound: float, cause: str, on_hang: Callable[[str], None], timers: Timers) -> None:
        self._bound = bound
        self._cause = cause
        self._on_hang = on_hang
        self._timers = timers
        self._owed: set[Key] = set()
        self._silent_since: float | None = None
        """None while nothing is owed."""
        self._timer: asyncio.TimerHandle | None = None
        """Not moved by each message: when it is due, it is set again for what is left of the bound."""

    def has(self, key: Key) -> bool:
        """Returns whether the lane owes this."""
        return key in self._owed

    def owe(self, key: Key) -> None:
        """Notes that the lane owes this from now on."""
        self._owed.add(key)
        if self._silent_since is None:
            self._silent_since = self._timers.time()
            if self._timer is None:
                self._wait()

    def remit(self, key: Key) -> None:
        """Notes that this was cancelled; the lane still has to send something."""
        self._owed.discard(key)

    def settle(self, keys: Collection[Key] = ()) -> None:
        """Notes a message from the lane, and that it no longer owes these."""
        self._owed.difference_update(keys)
        if self._silent_since is not None:
            self._silent_since = self._timers.time() if self._owed else None

    def close(self) -> None:
        """Ends the watch of this lane."""
        self._owed.clear()
        self._silent_since = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        assert self._silent_since is not None
        self._timer = self._timers.call_at(self._silent_since + self._bound, self._look)

    def _look(self) -> None:
        assert self._timer is not None
        due, self._timer = self._timer.when(), None
        if self._silent_since is None:
            return
        now = self._timers.time()
        if now - due > _LATE:
            # This process was stopped or blocked, perhaps with the whole machine: its clock says nothing of the worker.
            self._silent_since = now
        if now < self._silent_since + self._bound:
            self._wait()
        else:
            self._on_hang(self._cause)
