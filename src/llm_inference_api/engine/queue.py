"""The sequences that wait for a slot, in the order in which they are served."""

from collections import deque
from collections.abc import Iterator
from itertools import chain, zip_longest

from llm_inference_api.engine.sequence import Sequence


class WaitingQueue:
    """Serves callers in turn, and each one's sequences in order of arrival.

    So a caller with many of them delays another's first one by a single sequence. Iteration follows the order in which
    they would be served if no more came.
    """

    def __init__(self) -> None:
        self._turns: dict[str, deque[Sequence]] = {}
        """Each caller's sequences; the caller whose turn is next comes first."""

    def __iter__(self) -> Iterator[Sequence]:
        rounds = zip_longest(*self._turns.values())
        return (sequence for sequence in chain.from_iterable(rounds) if sequence is not None)

    def __len__(self) -> int:
        return sum(map(len, self._turns.values()))

    def add(self, sequence: Sequence) -> None:
        """Puts the sequence behind those of its caller; a caller who had none waits for all others' turns."""
        self._turns.setdefault(sequence.request.caller, deque()).append(sequence)

    def serve(self, sequence: Sequence) -> None:
        """Takes the sequence out because it is served: the next turn is another caller's."""
        self.remove(sequence)
        caller = sequence.request.caller
        if caller in self._turns:
            self._turns[caller] = self._turns.pop(caller)

    def remove(self, sequence: Sequence) -> None:
        """Takes the sequence out; its caller keeps the turn. Raises ValueError where it does not wait."""
        caller = sequence.request.caller
        own = self._turns.get(caller, deque())
        own.remove(sequence)
        if not own:
            del self._turns[caller]
