"""Rows of a step, chosen by what steps have cost on this machine.

A step has a fixed cost, since each reads all weights, one for its rows, of which the kernels compute `MULTIPLE` at a
time, and one for the keys that they attend to: where a model is small or a prompt long, that is most of it. Running
answers wait for their next token while a step computes a part of somebody's prompt.

Counting the cells of other sequences, which a row walks over, as parts of a key (0.15 in smollm2) was tried: the costs
of both change together, and what was learnt of them was worse. How far off the estimates are is learnt instead.
"""

from bisect import bisect_right
from collections.abc import Sequence as Items
from dataclasses import dataclass
from itertools import accumulate, chain, islice

MULTIPLE = 16
"""Rows that ggml's kernels compute at a time: a step of 17 takes about as long as one of 32."""
_FIRST_GUESS = 64
"""Rows of a step before any was measured."""
_ALONE = 1.0
"""Seconds of a step while no answer is running: it delays cancels and the admission of others by this much."""
UNNOTICED = 0.05
"""Seconds between two tokens that nobody takes for a gap."""
_SHORTEST = 1e-6
"""Lower bound of a measured step in seconds, against clocks of low resolution."""
LEAST_BY_KEYS = 1.25
"""How many times as long its keys may make a step of the fewest rows that the kernels compute at a time."""
_WEIGHT = 0.3
"""Weight of the newest step in the moving averages: the load of a machine changes."""
_SLOPE_WEIGHT = 0.02
"""The least weight of the newest step in what shows the cost of a key: a property of the model, drowned in noise."""

_OFF_WEIGHT = 0.05
"""Weight of the newest step in how far off the estimates are."""
_MOST_OFF = 2.0
"""A step that took so many times as long as estimated, or longer, was held up, and says nothing of the estimates."""


@dataclass(slots=True)
class _Steps:
    """Moving averages of the steps of one size."""

    keys: float
    seconds: float
    count: int = 0
    slow_keys: float = 0.0
    slow_seconds: float = 0.0
    variance: float = 0.0
    """Of the keys, around their slow average."""
    covariance: float = 0.0
    """Of keys and seconds."""

    def add(self, keys: int, seconds: float) -> None:
        self.keys += _WEIGHT * (keys - self.keys)
        self.seconds += _WEIGHT * (seconds - self.seconds)
        self.count += 1
        weight = max(1 / self.count, _SLOPE_WEIGHT)
        more_keys, more_seconds = keys - self.slow_keys, seconds - self.slow_seconds
        self.slow_keys += weight * more_keys
        self.slow_seconds += weight * more_seconds
        self.variance = (1 - weight) * (self.variance + weight * more_keys**2)
        self.covariance = (1 - weight) * (self.covariance + weight * more_keys * more_seconds)


class StepBudget:
    """Keeps the measured seconds of steps by their rows and the keys that these attend to."""

    def __init__(self, batch_tokens: int, max_gap: float) -> None:
        """Knows no step.

        Args:
            batch_tokens: Largest number of rows of a step.
            max_gap: Bound of a step with a part of a prompt while answers are running, in multiples of a step without.
        """
        self._batch_tokens = batch_tokens
        self._max_gap = max_gap
        self._known: dict[int, _Steps] = {}
        self._per_key = 0.0
        """Seconds per key that a row attends to."""
        self._off = 1.0
        """Moving average of a step's seconds in parts of what was estimated."""
        self._spread = 0.0
        """Moving average of their distance from it."""

    def rows(self, decoding: Items[int], prompts: Items[range], newcomers: int = 1) -> int:
        """Returns the rows of the next step, those of the decoding sequences included.

        At least one is left for prompts, unless the batch has room for no more than the decoding ones; so many as the
        kernels compute at a time, as far as their keys allow.

        Args:
            decoding: Positions of the rows of decoding sequences.
            prompts: Positions of rows of prompts, in the order in which they are computed.
            newcomers: Requests that wait for these prompts. Where they are more than the decoding sequences, these wait
                longer: larger steps compute more rows a second.
        """
        room = max(self._batch_tokens - len(decoding), 0)
        rows = list(islice(chain.from_iterable(prompts), room))
        if not rows:
            return len(decoding)
        if not self._known:
            return min(_FIRST_GUESS, self._batch_tokens)
        keys = list(accumulate(rows, initial=sum(decoding)))
        limit = self._limit(len(decoding), keys[0], newcomers) if decoding else _ALONE
        least = min((len(decoding) // MULTIPLE + 1) * MULTIPLE, self._batch_tokens)
        least_keys = keys[min(least - len(decoding), len(rows))]
        limit = max(limit / self._margin, min(self.seconds(least, least_keys), LEAST_BY_KEYS * self.seconds(least, 0)))
        sizes: list[int] = [*range(len(decoding) + 1, least), *range(least, self._batch_tokens, MULTIPLE)]
        sizes.append(self._batch_tokens)

        def seconds(size: int) -> float:  # It never falls with the size.
            return self.seconds(size, keys[min(size - len(decoding), len(rows))])

        fitting = bisect_right(sizes, limit, key=seconds)
        return sizes[max(fitting - 1, 0)]

    def _limit(self, decoding: int, keys: int, newcomers: int) -> float:
        usual = max(self._max_gap * self.seconds(decoding, keys), UNNOTICED)
        return max(usual, min(usual * newcomers / decoding, _ALONE))

    def seconds(self, rows: int, keys: int) -> float:
        """Returns the estimated seconds of a step with these rows, of which at least one step must be known.

        But for the keys, it is the least of the bounds that the known steps set: one with fewer rows is repeated, one
        with more is not shorter. So a number of rows of which a step once took long is tried again.
        """
        bounds = (max(1.0, rows / size) * self._without_keys(steps) for size, steps in self._known.items())
        return min(bounds) + self._per_key * keys

    def _without_keys(self, steps: _Steps) -> float:
        return max(steps.seconds - self._per_key * steps.keys, _SHORTEST)

    def observe(self, rows: int, keys: int, seconds: float) -> None:
        """Records the duration of a step, and how many keys its rows attended to."""
        size = rows if rows <= MULTIPLE else -(-rows // MULTIPLE) * MULTIPLE
        newest = max(seconds, _SHORTEST)
        if size in self._known:
            self._compare(newest / self.seconds(rows, keys))
        self._known.setdefault(size, _Steps(keys, newest)).add(keys, newest)
        self._per_key = self._slope()

    @property
    def _margin(self) -> float:
        """How many times as long as estimated a step may take: what the estimates leave out, and two mean deviations.

        As TCP allows for an answer (RFC 6298).
        """
        return max(self._off + 2 * self._spread, 1.0)

    def _compare(self, off: float) -> None:
        if not 1 / _MOST_OFF < off < _MOST_OFF:
            return
        self._spread += _OFF_WEIGHT * (abs(off - self._off) - self._spread)
        self._off += _OFF_WEIGHT * (off - self._off)

    def _slope(self) -> float:
        """Returns the slope of the line through the steps of each size, the same for all sizes (least squares)."""
        steps = self._known.values()
        variance = sum(one.variance for one in steps)
        slope = sum(one.covariance for one in steps) / variance if variance else 0.0
        most = (one.seconds / one.keys for one in steps if one.keys)  # Nothing else would have taken time.
        return max(min([slope, *most]), 0.0)
