"""Row budget of a step, adapted so that a step takes about a target time on this machine."""

_MIN_ROWS = 16
"""Smallest budget: a forward with fewer rows takes as long, since it is bound by reading the weights."""
_FIRST_GUESS = 64
"""Rows of a step before any was measured."""
_STEP_WHILE_DECODING = 0.25
"""Target seconds of a step while sequences decode: a chunk of prefill delays their next tokens by this much."""
_STEP_ALONE = 1.0
"""Target seconds of a step without decoding sequences: a chunk delays cancellation and admission by this much."""
_SHORTEST = 1e-6
"""Lower bound of a measured step in seconds, against clocks of low resolution."""
_WEIGHT = 0.3
"""Weight of the newest step in the moving average."""


class StepBudget:
    """Estimates the seconds per row by an exponential moving average over the steps."""

    def __init__(self, batch_tokens: int) -> None:
        self._batch_tokens = batch_tokens
        self._seconds_per_row: float | None = None

    def rows(self, *, decoding: bool) -> int:
        """Returns the row budget of the next step; `decoding` tells whether any sequence is decoding."""
        if self._seconds_per_row is None:
            return min(_FIRST_GUESS, self._batch_tokens)
        target = _STEP_WHILE_DECODING if decoding else _STEP_ALONE
        return max(_MIN_ROWS, min(self._batch_tokens, round(target / self._seconds_per_row)))

    def observe(self, rows: int, seconds: float) -> None:
        """Records the duration of a step. Steps with few rows are ignored: they are bound by reading the weights."""
        if rows < _MIN_ROWS:
            return
        newest = max(seconds, _SHORTEST) / rows
        before = newest if self._seconds_per_row is None else self._seconds_per_row
        self._seconds_per_row = (1 - _WEIGHT) * before + _WEIGHT * newest
