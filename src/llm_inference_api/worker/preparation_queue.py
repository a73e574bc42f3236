"""Fair queue from the worker's receiving thread to those that prepare requests."""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.worker.messages import Inquire, Lane, lane_of

_COSTLY_SECONDS = 60.0
"""Seconds for which a caller comes after all others, once a constraint of theirs was refused for its cost."""


class Waiting(NamedTuple):
    """A request or an inquiry to prepare."""

    message: GenerationRequest | Inquire
    arrived_at: float
    """Monotonic time in seconds."""


def _key(message: GenerationRequest | Inquire) -> str | int:
    return message.inquiry_id if isinstance(message, Inquire) else message.id


class PreparationQueue:
    """Requests and inquiries to prepare: for each lane round-robin over callers, FIFO per caller.

    So what one caller's constraints take to compile delays another caller by one of them, and requests without a
    constraint not at all. Thread-safe.
    """

    def __init__(self, on_skip: Callable[[str | int], None]) -> None:
        """Takes a callback that gets the id of each request or inquiry that is cancelled while it waits."""
        self._on_skip = on_skip
        self._changed = threading.Condition()
        self._turns: dict[Lane, dict[str, deque[Waiting]]] = {Lane.PREPARING: {}, Lane.COMPILING: {}}
        """By lane and caller; the caller to serve next comes first."""
        self._costly: dict[str, float] = {}
        """Callers who come last, with the monotonic time until which they do."""

    def put(self, message: GenerationRequest | Inquire) -> None:
        """Adds a request or an inquiry; a caller who has none in its lane is served after all others."""
        with self._changed:
            turns = self._turns[lane_of(message)]
            turns.setdefault(message.caller, deque()).append(Waiting(message, time.monotonic()))
            self._changed.notify_all()

    def cancel(self, key: str | int) -> None:
        """Removes the request or inquiry with this id; has no effect if it is not in the queue."""
        with self._changed:
            found = self._remove(key)
        if found:
            self._on_skip(key)

    def get(self, lane: Lane = Lane.PREPARING) -> Waiting:
        """Waits for and returns the lane's next item."""
        turns = self._turns[lane]
        with self._changed:
            self._changed.wait_for(lambda: turns)
            caller = self._next(turns)
            own = turns.pop(caller)
            item = own.popleft()
            if own:
                turns[caller] = own
            return item

    def note_cost(self, caller: str, *, refused: bool) -> None:
        """Records whether the caller's last constraint was refused for what it costs to compile."""
        now = time.monotonic()
        with self._changed:
            self._costly = {name: until for name, until in self._costly.items() if until > now and name != caller}
            if refused:
                self._costly[caller] = now + _COSTLY_SECONDS

    def _next(self, turns: dict[str, deque[Waiting]]) -> str:
        now = time.monotonic()
        cheap = (caller for caller in turns if self._costly.get(caller, now) <= now)
        return next(cheap, next(iter(turns)))

    def _remove(self, key: str | int) -> bool:
        for turns in self._turns.values():
            for caller, own in turns.items():
                for item in own:
                    if _key(item.message) == key:
                        own.remove(item)
                        if not own:
                            del turns[caller]
                        return True
        return False
