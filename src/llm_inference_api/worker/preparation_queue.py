"""FIFO from the worker's receiving thread to the one that prepares requests."""

from collections.abc import Callable
from queue import SimpleQueue

from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.worker.messages import Inquire


class PreparationQueue:
    """FIFO of requests and inquiries to prepare; cancelled requests are skipped."""

    def __init__(self, on_skip: Callable[[str], None]) -> None:
        """Takes a callback that gets the id of each skipped request."""
        self._on_skip = on_skip
        self._queue: SimpleQueue[GenerationRequest | Inquire] = SimpleQueue()
        self._waiting: set[str] = set()

    def put(self, message: GenerationRequest | Inquire) -> None:
        """Adds a request or an inquiry."""
        if isinstance(message, GenerationRequest):
            self._waiting.add(message.id)
        self._queue.put(message)

    def cancel(self, request_id: str) -> None:
        """Marks the request as cancelled; has no effect if it is not in the queue."""
        self._waiting.discard(request_id)

    def get(self) -> GenerationRequest | Inquire:
        """Waits for and returns the next inquiry or request that is not cancelled."""
        while True:
            message = self._queue.get()
            if isinstance(message, Inquire):
                return message
            if message.id in self._waiting:
                self._waiting.discard(message.id)
                return message
            self._on_skip(message.id)
