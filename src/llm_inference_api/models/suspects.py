"""Requests that may be what makes a model's process crash, by content."""

import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from llm_inference_api.errors import PoisonRequestError
from llm_inference_api.requests.inquiry import Render
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.worker.at_work import Work

MARK_SECONDS = 600.0
"""Seconds after its last crash in which a suspect is computed alone, or refused."""
_CRASHES_ALLOWED = 1
"""A suspect that was computed in more crashes than this, in the last one alone, is refused."""
_REMEMBERED = 1000


@dataclass(slots=True)
class _Mark:
    until: float
    """Time of the monotonic clock."""
    crashes: int = 0
    was_alone: bool = False
    """Whether nothing else was computed in the last crash."""


class Suspects:
    """What was being computed when one model's process crashed.

    A suspect is computed alone the next time: if the process crashes again, nobody else is lost, and the suspect is
    refused. The mark ends with an answer, or `MARK_SECONDS` after the crash.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._marks: dict[bytes, _Mark] = {}

    def __len__(self) -> int:
        return len(self._marks)

    def crashed(self, works: Iterable[Work]) -> None:
        """Marks what was computed in a crash; equal requests, or several answers of one, count once."""
        contents = {_content(work) for work in works}
        for content in contents:
            mark = self._marks.pop(content, None) or _Mark(0.0)
            self._marks[content] = mark
            mark.until = self._clock() + MARK_SECONDS
            mark.crashes += 1
            mark.was_alone = len(contents) == 1
        while len(self._marks) > _REMEMBERED:
            del self._marks[next(iter(self._marks))]

    def answered(self, work: Work) -> None:
        """Clears what was answered completely."""
        if self._marks:
            self._marks.pop(_content(work), None)

    def includes(self, work: Work) -> bool:
        """Returns whether the work is a suspect, to be computed alone.

        Raises:
            PoisonRequestError: It crashed the process alone.
        """
        self._forget()
        mark = self._marks.get(_content(work)) if self._marks else None
        if mark is not None and mark.was_alone and mark.crashes > _CRASHES_ALLOWED:
            minutes = (mark.until - self._clock()) / 60
            raise PoisonRequestError(
                f"the model's process failed {mark.crashes} times while it computed this request, the last time with "
                f"no other; this request is refused for {minutes:.0f} minutes"
            )
        return mark is not None

    def _forget(self) -> None:
        now = self._clock()
        while self._marks and (oldest := next(iter(self._marks.items())))[1].until <= now:
            del self._marks[oldest[0]]


def _content(work: Work) -> bytes:
    """Returns a digest that a request shares with its retries and with equal requests of other callers."""
    match work:
        case GenerationRequest(sampling=sampling):
            work = replace(
                work, id="", sampling=replace(sampling, seed=0), caller="", model="", n=1, created=0, is_whole=False
            )
        case Render(request):
            return b"render" + _content(request)
    return hashlib.blake2b(repr(work).encode(), digest_size=16).digest()
