"""How many rows a step may have, so that it takes about as long as it should on this machine."""

_MIN_ROWS = 16
"""Fewer rows than this waste a pass over the weights."""
_FIRST_GUESS = 64
_STEP_WHILE_DECODING = 0.25
"""Seconds. A prompt's chunk delays the next token of every running answer by this much."""
_STEP_ALONE = 1.0
"""Seconds. A prompt's chunk delays cancellation and admission by this much."""
_SHORTEST = 1e-6
"""Seconds that a step takes at least, whatever the clock says."""
_WEIGHT = 0.3
"""Of the newest step in the moving average."""


class StepBudget:
    """Learns the seconds that a row takes from the steps that have been made."""

    def __init__(self, batch_tokens: int) -> None:
        self._batch_tokens = batch_tokens
        self._seconds_per_row: float | None = None

    def rows(self, *, decoding: bool) -> int:
        """Returns the rows of the next step; `decoding` says whether answers wait for their next token."""
        if self._seconds_per_row is None:
            return min(_FIRST_GUESS, self._batch_tokens)
        target = _STEP_WHILE_DECODING if decoding else _STEP_ALONE
        return max(_MIN_ROWS, min(self._batch_tokens, round(target / self._seconds_per_row)))

    def observe(self, rows: int, seconds: float) -> None:
        """Notes how long a step took. Steps with few rows are left out: they cost a pass over the weights, not rows."""
        if rows < _MIN_ROWS:
            return
        newest = max(seconds, _SHORTEST) / rows
        before = newest if self._seconds_per_row is None else self._seconds_per_row
        self._seconds_per_row = (1 - _WEIGHT) * before + _WEIGHT * newest
