"""Rows of a step, chosen by what steps have cost on this machine.

A step has a fixed cost, since each reads all weights, and one for its rows, of which the kernels compute `MULTIPLE` at
a time. Running answers wait for their next token while a step computes a part of somebody's prompt.
"""

MULTIPLE = 16
"""Rows that ggml's kernels compute at a time: a step of 17 takes about as long as one of 32."""
_FIRST_GUESS = 64
"""Rows of a step before any was measured."""
_ALONE = 1.0
"""Seconds of a step while no answer is running: it delays cancels and the admission of others by this much."""
_UNNOTICED = 0.05
"""Seconds between two tokens that nobody takes for a gap."""
_SHORTEST = 1e-6
"""Lower bound of a measured step in seconds, against clocks of low resolution."""
_WEIGHT = 0.3
"""Weight of the newest step in the moving average."""


class StepBudget:
    """Keeps the measured seconds of steps by their rows, as moving averages."""

    def __init__(self, batch_tokens: int, max_gap: float) -> None:
        """Knows no step.

        Args:
            batch_tokens: Largest number of rows of a step.
            max_gap: Bound of a step with a part of a prompt while answers are running, in multiples of a step without.
        """
        self._batch_tokens = batch_tokens
        self._max_gap = max_gap
        self._known: dict[int, float] = {}

    def rows(self, decoding: int) -> int:
        """Returns the rows of the next step, those of the `decoding` sequences included.

        At least some are left for prompts, unless the batch has room for no more than the decoding ones.
        """
        if not self._known:
            return min(_FIRST_GUESS, self._batch_tokens)
        limit = max(self._max_gap * self.seconds(decoding), _UNNOTICED) if decoding else _ALONE
        least = min((decoding // MULTIPLE + 1) * MULTIPLE, self._batch_tokens)
        sizes = [*range(least, self._batch_tokens, MULTIPLE), self._batch_tokens]
        return max((size for size in sizes if self.seconds(size) <= limit), default=least)

    def seconds(self, rows: int) -> float:
        """Returns the estimated seconds of a step with these rows, of which at least one step must be known.

        The least of the bounds that the known steps set: one with fewer rows is repeated, one with more is not shorter.
        So a number of rows of which a step once took long is tried again.
        """
        return min(seconds * max(1.0, rows / size) for size, seconds in self._known.items())

    def observe(self, rows: int, seconds: float) -> None:
        """Records the duration of a step."""
        size = rows if rows <= MULTIPLE else -(-rows // MULTIPLE) * MULTIPLE
        newest = max(seconds, _SHORTEST)
        self._known[size] = (1 - _WEIGHT) * self._known.get(size, newest) + _WEIGHT * newest
