"""Detects a hung worker: a lane with pending work that has sent nothing for longer than its timeout.

Pending work is derived from the messages to and from the worker. Each lane has its own timer, so a busy lane does not
hide a hung one. Only time in which this process ran counts.
"""

from collections.abc import Callable, Collection, Mapping
from functools import partial

from llm_inference_api.processes.running_time import RunningTime, RunningTimer, Timers
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
    lane_of,
)

Key = str | int
"""Id of a request or of an inquiry."""


class Watchdog:
    """Watches one worker. Not thread-safe: for the event loop's thread."""

    def __init__(self, bounds: Mapping[Lane, float], on_hang: Callable[[str], None], timers: Timers) -> None:
        """Creates the watchdog; no timer runs until a lane has pending work.

        Args:
            bounds: Timeout of each lane in seconds.
            on_hang: Called with the cause, such as `no step ended within 60 s`, if a lane times out.
            timers: Clock and timers; the event loop.
        """
        self.hung: Lane | None = None
        """The lane that timed out."""
        self._on_hang = on_hang
        self._clock = RunningTime(timers)
        self._lanes = {
            lane: _LaneWatch(bound, f"{lane.value} within {bound:g} s", partial(self._found, lane), self._clock)
            for lane, bound in bounds.items()
        }
        self._answers: dict[str, int] = {}
        """Number of unfinished answers by request id, without cancelled requests."""

    def started(self) -> None:
        """Records that the worker's process was started; the load is pending."""
        self._lanes[Lane.LOADING].add("")

    def sent(self, message: ToWorker) -> None:
        """Records the work that a message to the worker causes."""
        match message:
            case Submit(request):
                self._answers[request.id] = request.n
                self._lanes[lane_of(request)].add(request.id)
            case Cancel(request_id):
                self._answers.pop(request_id, None)
                self._lanes[Lane.STEPS].discard(request_id)
            case Inquire(inquiry_id):
                self._lanes[Lane.PREPARING].add(inquiry_id)
            case Compute(inquiry_id):
                self._lanes[Lane.EMBEDDINGS].add(inquiry_id)

    def received(self, message: FromWorker) -> None:
        """Records a message from the worker: restarts the lane's timer and removes completed work."""
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

    def _found(self, lane: Lane, cause: str) -> None:
        self.hung = lane
        self._on_hang(cause)

    def _pass_on(self, request_id: str) -> None:
        is_compiled = self._lanes[Lane.COMPILING].has(request_id)
        self._lanes[Lane.COMPILING if is_compiled else Lane.PREPARING].settle((request_id,))
        if request_id in self._answers:
            self._lanes[Lane.STEPS].add(request_id)

    def _ended(self, output: StepOutput) -> list[Key]:
        """Returns the ids of the requests that ended with the step: rejected, or all answers finished."""
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
        """Stops all timers."""
        for lane in self._lanes.values():
            lane.close()
        self._clock.close()


class _LaneWatch:
    """Pending work and timer of one lane.

    Only a message from the lane itself restarts or stops the timer, so a series of requests that are cancelled early
    does not hide a hung lane.
    """

    def __init__(self, bound: float, cause: str, on_hang: Callable[[str], None], clock: RunningTime) -> None:
        self._bound = bound
        self._cause = cause
        self._on_hang = on_hang
        self._clock = clock
        self._pending: set[Key] = set()
        self._silent_since: float | None = None
        """Time of the lane's last message, or of the first pending work; None while no work is pending."""
        self._timer: RunningTimer | None = None
        """Not rescheduled by each message: when it fires, it is set again for the rest of the timeout."""

    def has(self, key: Key) -> bool:
        """Returns whether this work is pending."""
        return key in self._pending

    def add(self, key: Key) -> None:
        """Adds pending work; starts the timer if it is the first."""
        self._pending.add(key)
        if self._silent_since is None:
            self._silent_since = self._clock.time()
            if self._timer is None:
                self._wait()

    def discard(self, key: Key) -> None:
        """Removes cancelled work; the timer runs on until the lane sends a message."""
        self._pending.discard(key)

    def settle(self, keys: Collection[Key] = ()) -> None:
        """Records a message from the lane, which completes the given work."""
        self._pending.difference_update(keys)
        if self._silent_since is not None:
            self._silent_since = self._clock.time() if self._pending else None

    def close(self) -> None:
        """Stops the timer and clears the pending work."""
        self._pending.clear()
        self._silent_since = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        self._timer = self._clock.call_at(self._due(), self._check)

    def _due(self) -> float:
        """Returns the end of the timeout. After a pause, the worker, perhaps stopped too, gets another whole one."""
        assert self._silent_since is not None
        return max(self._silent_since, self._clock.resumed_at) + self._bound

    def _check(self) -> None:
        self._timer = None
        if self._silent_since is None:
            return
        if self._clock.time() < self._due():
            self._wait()
        else:
            self._on_hang(self._cause)
