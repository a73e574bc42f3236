"""Decides who is computed in the next step. Pure policy: it touches no model.

There are no phases. Each sequence has known tokens and computed tokens; a step gives rows, under one budget, so that
the computed ones catch up with the known ones. Sequences that only lack their newest token come first, prompts share
what is left of the budget in order of admission, and waiting sequences are admitted, their callers in turn, when all
that they may need fits.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from llm_inference_api.engine.prefix_cache import PrefixCache, Seat, common_prefix
from llm_inference_api.engine.queue import WaitingQueue
from llm_inference_api.engine.sequence import Sequence

MIN_SHARED_TOKENS = 32
"""A prefix that another sequence is still computing is waited for when it saves at least this many rows."""


class Truncate(NamedTuple):
    """Drop what a seat of the key-value cache holds from a position on."""

    seat: int
    length: int


class CopyPrefix(NamedTuple):
    """Let an empty seat share the first positions of another one."""

    source: int
    target: int
    length: int


@dataclass(frozen=True, slots=True)
class Work:
    """Known tokens of a sequence that the step computes."""

    sequence: Sequence
    start: int
    """Position of the first one."""
    count: int

    @property
    def is_prompt(self) -> bool:
        """Whether the tokens are the prompt's, not the answer's."""
        return self.start < self.sequence.prompt_length


@dataclass(slots=True)
class Plan:
    """One step: first the changes to the key-value cache, in order, then the rows."""

    memory: list[Truncate | CopyPrefix] = field(default_factory=list)
    admitted: list[Sequence] = field(default_factory=list)
    work: list[Work] = field(default_factory=list)


class Scheduler:
    """The waiting and the running sequences, and the seats that they use."""

    def __init__(self, cache: PrefixCache, slots: int, *, scoped_prefixes: bool = False) -> None:
        """With `scoped_prefixes`, a sequence shares prefixes with those of its own caller only."""
        self._scoped = scoped_prefixes
        self.cache = cache
        self.slots = slots
        self.waiting = WaitingQueue()
        self.running: list[Sequence] = []

    def add(self, sequence: Sequence) -> None:
        """Puts the sequence into the queue."""
        self.waiting.add(sequence)

    def schedule(self, budget: int) -> Plan:
        """Returns the next step's plan, with about `budget` rows, and marks them as computed.

        Each running sequence that lacks its newest token only has a row even where that exceeds the budget.
        """
        plan = Plan()
        self._admit(plan)
        budget -= self._give(plan, [seq for seq in self.running if seq.uncomputed == 1], budget=len(self.running))
        self._give(plan, [seq for seq in self.running if seq.uncomputed > 1], budget=budget)
        for work in plan.work:
            self._advance(work.sequence, work.count)
        return plan

    def remove(self, sequence: Sequence) -> None:
        """Takes the sequence out, wherever it is; what it computed stays as a prefix for others."""
        if sequence.seat is None:
            self.waiting.remove(sequence)
            return
        self.running.remove(sequence)
        self.cache.release(self.cache.seats[sequence.seat])

    def _give(self, plan: Plan, sequences: list[Sequence], budget: int) -> int:
        given = 0
        for sequence in sequences:
            count = min(sequence.uncomputed, budget - given)
            if count > 0:
                plan.work.append(Work(sequence, sequence.computed, count))
                given += count
        return given

    def _advance(self, sequence: Sequence, count: int) -> None:
        assert sequence.seat is not None
        tokens = sequence.tokens[sequence.computed : sequence.computed + count]
        self.cache.extend(self.cache.seats[sequence.seat], tokens)
        sequence.computed += count

    def _admit(self, plan: Plan) -> None:
        for sequence in list(self.waiting):
            if len(self.running) >= self.slots:
                return
            source, length = self.cache.longest_prefix(sequence.tokens, self._scope(sequence))
            if self._is_being_computed(sequence, length):
                continue
            if not self._make_room(plan, sequence, source, length):
                return
            self.waiting.serve(sequence)
            self._seat(plan, sequence, source, length)

    def _scope(self, sequence: Sequence) -> str:
        return sequence.request.caller if self._scoped else ""

    def _is_being_computed(self, sequence: Sequence, length: int) -> bool:
        """Whether a running sequence is on its way through a longer prefix than the cache holds."""
        for other in self.running:
            if other.computed < other.prompt_length and self._scope(other) == self._scope(sequence):
                common = common_prefix(other.tokens, sequence.tokens, sequence.prompt_length - 1)
                if common - max(length, other.computed) >= MIN_SHARED_TOKENS:
                    return True
        return False

    def _make_room(self, plan: Plan, sequence: Sequence, source: Seat | None, length: int) -> bool:
        """Empties idle seats until everything that the sequence may need is free; False where that is not enough."""
        needed = sum(other.outstanding for other in self.running) + sequence.outstanding - length
        if self.cache.free < needed and self.cache.reclaimable(source, length) < needed:
            return False
        for seat in self.cache.idle_seats():
            if self.cache.free >= needed:
                return True
            if seat is not source:
                self._truncate(plan, seat, 0)
        if self.cache.free < needed and source is not None:
            self._truncate(plan, source, length)
        return True

    def _seat(self, plan: Plan, sequence: Sequence, source: Seat | None, length: int) -> None:
        seat = self._choose_seat(source)
        if source is None or seat is source:
            self._truncate(plan, seat, length)
        else:
            self._truncate(plan, seat, 0)
            self.cache.share(source, seat, length)
            plan.memory.append(CopyPrefix(source.index, seat.index, length))
        self.cache.occupy(seat, self._scope(sequence))
        sequence.seat = seat.index
        sequence.computed = sequence.cached = length
        self.running.append(sequence)
        plan.admitted.append(sequence)

    def _choose_seat(self, source: Seat | None) -> Seat:
        """Returns an empty seat, else the longest unused one that is not the source, else the source."""
        idle = self.cache.idle_seats()
        empty = (seat for seat in idle if not seat.tokens)
        other = (seat for seat in idle if seat is not source)
        return next(empty, None) or next(other, None) or idle[0]

    def _truncate(self, plan: Plan, seat: Seat, length: int) -> None:
        if len(seat.tokens) > length:
            self.cache.truncate(seat, length)
            plan.memory.append(Truncate(seat.index, length))
