"""Fair queue of sequences that wait for a slot."""

from collections import deque
from collections.abc import Iterator
from itertools import chain, zip_longest

from llm_inference_api.engine.sequence import Sequence


class WaitingQueue:
    """Round-robin over callers, FIFO per caller; sequences in the background come after all others.

    So a caller with many sequences delays another caller's first one by a single sequence. Iteration follows the order
    of service, without later arrivals.
    """

    def __init__(self) -> None:
        self._turns: dict[bool, dict[str, deque[Sequence]]] = {False: {}, True: {}}
        """By whether they are in the background, sequences by caller; the caller to serve next comes first."""

    def __iter__(self) -> Iterator[Sequence]:
        rounds = chain.from_iterable(zip_longest(*turns.values()) for turns in self._turns.values())
        return (sequence for sequence in chain.from_iterable(rounds) if sequence is not None)

    def __len__(self) -> int:
        return sum(len(own) for turns in self._turns.values() for own in turns.values())

    def add(self, sequence: Sequence) -> None:
        """Appends the sequence to its caller's; a new caller is served after all others."""
        self._turns_of(sequence).setdefault(sequence.request.caller, deque()).append(sequence)

    def put_back(self, sequence: Sequence) -> None:
        """Adds a sequence that has lost its seat: it is its caller's first."""
        self._turns_of(sequence).setdefault(sequence.request.caller, deque()).appendleft(sequence)

    def serve(self, sequence: Sequence) -> None:
        """Removes an admitted sequence, and moves its caller to the end of the round."""
        self.remove(sequence)
        turns, caller = self._turns_of(sequence), sequence.request.caller
        if caller in turns:
            turns[caller] = turns.pop(caller)

    def remove(self, sequence: Sequence) -> None:
        """Removes a sequence; its caller keeps its place. Raises ValueError if it is not in the queue."""
        turns, caller = self._turns_of(sequence), sequence.request.caller
        own = turns.get(caller, deque())
        own.remove(sequence)
        if not own:
            del turns[caller]

    def _turns_of(self, sequence: Sequence) -> dict[str, deque[Sequence]]:
        return self._turns[sequence.request.is_background]
