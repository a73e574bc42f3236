"""What a worker is computing, from its own messages: what a crash may be due to."""

from collections.abc import Callable, Iterator

from llm_inference_api.requests.errand import Errand
from llm_inference_api.requests.inquiry import Inquiry
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.worker.messages import Answered, Begun, FromWorker, Lane, Prepared

Work = GenerationRequest | Inquiry | Errand
Key = str | int
"""Id of a request or of an inquiry."""


class AtWork:
    """What each lane of one worker is computing. Requests that wait are not included, cancelled ones may be."""

    def __init__(self, find: Callable[[Key], Work | None]) -> None:
        """Takes a function that returns the open request or inquiry with an id, or None."""
        self._find = find
        self._lanes: dict[Lane, dict[Key, Work]] = {}

    def __iter__(self) -> Iterator[Work]:
        return (work for lane in self._lanes.values() for work in lane.values())

    def in_lane(self, lane: Lane) -> tuple[Work, ...]:
        """Returns what the lane is computing."""
        return tuple(self._lanes.get(lane, {}).values())

    def received(self, message: FromWorker) -> None:
        """Records what a message from the worker says."""
        match message:
            case Begun(lane, keys):
                found = ((key, self._find(key)) for key in keys)
                self._lanes[lane] = {key: work for key, work in found if work is not None}
            case Prepared(key):
                self._end(Lane.PREPARING, key)
                self._end(Lane.COMPILING, key)
            case Answered(key):
                self._end(Lane.PREPARING, key)
                self._end(Lane.COMPILING, key)
                self._end(Lane.EMBEDDINGS, key)

    def ended(self, request_id: str) -> None:
        """Records that the engine has ended a request."""
        self._end(Lane.STEPS, request_id)

    def idle(self) -> None:
        """Records that the engine has nothing to compute, so that cancelled requests are gone too."""
        self._lanes.pop(Lane.STEPS, None)

    def _end(self, lane: Lane, key: Key) -> None:
        self._lanes.get(lane, {}).pop(key, None)
