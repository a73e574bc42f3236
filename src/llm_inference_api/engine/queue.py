"""Fair queue of sequences that wait for a slot."""

from collections import deque
from collections.abc import Iterator
from itertools import chain, zip_longest

from llm_inference_api.engine.sequence import Sequence


class WaitingQueue:
    """Round-robin over callers, FIFO per caller.

    So a caller with many sequences delays another caller's first one by a single sequence. Iteration follows the order
    of service, without later arrivals.
    """

    def __init__(self) -> None:
        self._turns: dict[str, deque[Sequence]] = {}
        """Sequences by caller; the caller to serve next comes first."""

    def __iter__(self) -> Iterator[Sequence]:
        rounds = zip_longest(*self._turns.values())
        return (sequence for sequence in chain.from_iterable(rounds) if sequence is not None)

    def __len__(self) -> int:
        return sum(map(len, self._turns.values()))

    def add(self, sequence: Sequence) -> None:
        """Appends the sequence to its caller's; a new caller is served after all others."""
        self._turns.setdefault(sequence.request.caller, deque()).append(sequence)

    def serve(self, sequence: Sequence) -> None:
        """Removes an admitted sequence, and moves its caller to the end of the round."""
        self.remove(sequence)
        caller = sequence.request.caller
        if caller in self._turns:
            self._turns[caller] = self._turns.pop(caller)

    def remove(self, sequence: Sequence) -> None:
        """Removes a sequence; its caller keeps its place. Raises ValueError if it is not in the queue."""
        caller = sequence.request.caller
        own = self._turns.get(caller, deque())
        own.remove(sequence)
        if not own:
            del self._turns[caller]
