"""Plans the next step: admission, cache changes and rows of the batch. Pure policy without a model.

There are no separate prefill and decode phases. Each sequence has known tokens and computed tokens; a step computes
some of the difference, under a budget of rows. Decoding sequences (one uncomputed token) come first; prefills share the
rest of the budget in order of admission. Waiting sequences are admitted round-robin by caller, when the cache has room
for prompt and full answer. Those in the background come last, in the queue and in a step, and lose their seats to
others that wait for one: what they have computed stays as a prefix for as long as there is room.

A step computes sequences of the same adapters alone, and they take turns.

A seat of a recurrent or hybrid model has a state of all its tokens: it is reused as a whole or not at all, see
`state_marks`.
"""

from collections.abc import Callable
from collections.abc import Sequence as Items
from typing import NamedTuple

from llm_inference_api.engine.plan import CopyPrefix, Plan, Rehome, Restore, Save, Truncate, Work
from llm_inference_api.engine.prefix_cache import PrefixCache, Scope, Seat, common_prefix
from llm_inference_api.engine.prefix_store import BLOCK, BlockState, Piece, PrefixStore
from llm_inference_api.engine.prompt_chunk import Chunk
from llm_inference_api.engine.queue import WaitingQueue
from llm_inference_api.engine.sequence import Sequence
from llm_inference_api.engine.state_marks import MIN_SHARED_TOKENS, add_mark, rows_to_mark, will_keep
from llm_inference_api.engine.state_store import StateStore
from llm_inference_api.requests.adapters import NO_ADAPTERS, Adapters

Budget = Callable[[Items[int], Items[range], int], int]
"""Says how many rows a step may have, from the positions of the answers' rows and those that prompts lack, and the
number of requests that the prompts are of."""

_FEW_IDLE_CELLS = 512
"""Cells of ended requests that may stay in the cache beside running ones: walking them takes a percent of a step."""


_MOST_SCORED = 128
"""Rows of a step whose scores are read for given tokens: llama.cpp keeps the scores of the whole vocabulary of each."""


class _Reuse(NamedTuple):
    """What of a prompt need not be computed."""

    source: Seat | None
    """Whose cells are shared, or taken over; None if none are."""
    shared: int
    """Leading tokens in these cells."""
    pieces: Items[Piece] = ()
    """Blocks of the store behind those."""

    @property
    def length(self) -> int:
        """Tokens in all."""
        return self.shared + sum(piece.length for piece in self.pieces)

    @property
    def spare(self) -> int:
        """Cells that the last block takes for a moment beside those of its tokens that are used."""
        return len(self.pieces[-1].block.tokens) - self.pieces[-1].length if self.pieces else 0


class Scheduler:
    """Holds the waiting and the running sequences, and assigns seats."""

    def __init__(  # noqa: PLR0913 - one for each rule
        self,
        cache: PrefixCache,
        slots: int,
        *,
        scoped_prefixes: bool = False,
        keeps_order: bool = False,
        chunk: Chunk | None = None,
        store: PrefixStore | StateStore | None = None,
        whole_states: bool = False,
    ) -> None:
        """Creates a scheduler without sequences.

        Args:
            cache: The KV cache's bookkeeping.
            slots: Largest number of running sequences.
            scoped_prefixes: Whether prefixes are shared among sequences of the same caller only.
            keeps_order: Whether running sequences are moved where their next cells would come before those they have,
                and a request that runs alone reuses only what is exact; see `prefix_cache`.
            chunk: The steps of a prompt that is computed alone, where a row's result depends on the rows of its batch;
                only such steps are exact then. None: it does not.
            store: Holds the prefixes of ended requests, which leave the cache then; None: they stay until their cells
                are needed.
            whole_states: Whether a seat has a state of all its tokens, of which none can be dropped; a `StateStore`
                goes with it.
        """
        self._whole_states = whole_states
        self._store = store
        self._unsaved: dict[Seat, None] = {}
        """Seats of ended sequences whose blocks the store was not all offered, in the order in which they ended."""
        self._chunk = chunk
        self._keeps_order = keeps_order
        self._scoped = scoped_prefixes
        self.cache = cache
        self.slots = slots
        self.waiting = WaitingQueue()
        self.running: list[Sequence] = []
        self._adapters = NO_ADAPTERS

    def add(self, sequence: Sequence) -> None:
        """Queues a sequence."""
        self.waiting.add(sequence)

    def schedule(self, budget: Budget) -> Plan:
        """Returns the next step's plan, with at most as many rows as the budget says, and marks them as computed.

        The budget is exceeded if there are more decoding sequences: each of them always gets its row.
        """
        plan = Plan()
        for sequence in self.running:
            self._keep_marked(plan, sequence)
        self._admit(plan)
        self._allot_apart(plan)
        shared = [seq for seq in self.running if not self._is_apart(seq)]
        plan.adapters = self._adapters = self._next_adapters(shared)
        group = [seq for seq in shared if seq.request.adapters == plan.adapters]
        group.sort(key=lambda seq: seq.request.is_background)
        prompts = [seq for seq in group if not seq.is_decoding]
        newcomers = {seq.request_id for seq in prompts if not seq.request.is_background}
        lacking = [range(seq.computed, len(seq.tokens)) for seq in prompts]
        rows = budget(self._answering(), lacking, len(newcomers))
        rows -= min(rows // 2, sum(work.count for work in plan.apart))
        rows -= self._allot_rows(plan, [seq for seq in group if seq.is_decoding], rows=len(group))
        self._allot_rows(plan, prompts, rows=rows)
        for work in plan.work:
            self._advance(work, exact=self._exact_rows(plan, work))
        return plan

    def _answering(self) -> list[int]:
        """Returns the positions of the newest tokens of answers, for whose next ones somebody waits."""
        return [seq.computed for seq in self.running if seq.computed >= seq.prompt_length and seq.uncomputed <= 1]

    def _is_apart(self, sequence: Sequence) -> bool:
        """Whether a sequence is computed in forwards of its own, so that its scores depend on nothing else."""
        return self._chunk is not None and sequence.board is not None

    def _allot_apart(self, plan: Plan) -> None:
        """Plans the rows of the first sequence that is computed apart, up to the end of its chunk.

        They are never fewer: the last layer computes only rows whose scores are read, and its results depend on their
        number too. One whose next cells would come before those it has waits for room to be moved, while there is
        anything else to compute.
        """
        if self._chunk is None:
            return
        due = [seq for seq in self.running if self._is_apart(seq) and seq.uncomputed]
        parting = self._parting()
        ready = [seq for seq in due if seq not in parting]
        others = any(seq.uncomputed for seq in self.running if not self._is_apart(seq))
        for sequence in ready[:1] or ([] if others else due[:1]):
            rest = self._chunk.rows - sequence.computed % self._chunk.rows
            work = Work(sequence, sequence.computed, min(sequence.uncomputed, rest))
            plan.apart.append(work)
            self._advance(work, exact=self._chunk.exact_rows(work))

    def _parting(self) -> list[Sequence]:
        """Returns the sequences computed apart whose next cells would come before those they have."""
        apart = [seq for seq in self.running if self._is_apart(seq) and seq.uncomputed]
        return [seq for seq in apart if seq.seat is not None and self.cache.would_part(self.cache.seats[seq.seat])]

    def _next_adapters(self, sequences: list[Sequence]) -> Adapters:
        """Returns the adapters of the next step, in turn: a backend applies them to all rows of a forward."""
        groups = sorted({seq.request.adapters for seq in sequences if seq.uncomputed})
        later = (adapters for adapters in groups if adapters > self._adapters)
        return next(later, groups[0] if groups else self._adapters)

    def remove(self, sequence: Sequence) -> None:
        """Removes a waiting or running sequence; its seat becomes idle and keeps its tokens as a prefix."""
        if sequence.seat is None:
            self.waiting.remove(sequence)
            return
        self.running.remove(sequence)
        seat = self.cache.seats[sequence.seat]
        self.cache.release(seat)
        if self._store is not None:
            self._unsaved[seat] = None

    @property
    def stored_tokens(self) -> int:
        """Tokens in the store."""
        return self._store.tokens if self._store is not None else 0

    @property
    def stored_bytes(self) -> int:
        """Bytes that the store takes."""
        return self._store.size if self._store is not None else 0

    def next_save(self) -> Save | None:
        """Returns a block of an idle seat that the store lacks, and notes that it is offered; None if there is none."""
        for seat in list(self._unsaved):
            while not seat.busy and seat.saved < len(seat.tokens):
                if save := self._save(seat):
                    return save
            del self._unsaved[seat]
        return None

    def keep(self, save: Save, state: BlockState) -> None:
        """Puts a block that was copied into the store."""
        assert self._store is not None
        if isinstance(self._store, StateStore):
            self._store.put(list(save.tokens), save.start, state, save.scope)
        else:
            self._store.put(save.tokens, save.start, state, save.scope, exact=save.exact)

    def _allot_rows(self, plan: Plan, sequences: list[Sequence], rows: int) -> int:
        given = scored = 0
        for sequence in sequences:
            count = min(sequence.uncomputed, self._chunk_rest(sequence) or rows - given, rows_to_mark(sequence))
            if sequence.given is not None:
                count = sequence.given.fitting(sequence.computed, count, _MOST_SCORED - scored)
                scored += sequence.given.count(sequence.computed, count)
            if count > 0:
                plan.work.append(Work(sequence, sequence.computed, count))
                given += count
        return given

    def _chunk_rest(self, sequence: Sequence) -> int | None:
        """Returns the rows to the end of the chunk if the sequence runs alone and its chunks are fixed."""
        if self._chunk is None or len(self.running) > 1:
            return None
        return self._chunk.rows - sequence.computed % self._chunk.rows

    def _exact_rows(self, plan: Plan, work: Work) -> int:
        """Returns how many leading rows of the work have the results of any request that begins with these tokens."""
        if self._chunk is None:
            return work.count
        return self._chunk.exact_rows(work) if len(plan.work) == 1 else 0

    def _advance(self, work: Work, *, exact: int) -> None:
        sequence = work.sequence
        assert sequence.seat is not None
        tokens = sequence.tokens[work.start : work.start + work.count]
        self.cache.extend(self.cache.seats[sequence.seat], tokens, exact=exact)
        sequence.computed += work.count

    def _admit(self, plan: Plan) -> None:
        for sequence in list(self.waiting):
            while not self._has_seat(sequence) and self._preempt(plan, sequence):
                pass
            if not self._has_seat(sequence):
                if sequence.board is None:
                    break
                continue  # Behind it may be one that generates, for which a seat is left.
            reuse = self._reuse(sequence)
            if self._is_being_computed(sequence, reuse.length):
                continue
            fitting = self._with_room(plan, sequence, reuse)
            if fitting is None:
                break
            self.waiting.serve(sequence)
            self._seat(plan, sequence, fitting)
        frees = self._free_saved(plan)
        if self._keeps_order and (plan.admitted or frees or self._parting()):
            self._keep_order(plan)

    def _with_room(self, plan: Plan, sequence: Sequence, reuse: _Reuse) -> _Reuse | None:
        """Makes room for the sequence, and returns what it then reuses; None if there is too little."""
        while not self._make_room(plan, sequence, reuse):
            reuse = self._in_cache(sequence)
            if self._make_room(plan, sequence, reuse):
                break
            if not self._preempt(plan, sequence):
                return None
            reuse = self._reuse(sequence)
        return reuse

    def _preempt(self, plan: Plan, waiting: Sequence) -> bool:
        """Takes the seat of the sequence in the background that was admitted last, for one that is not.

        Returns False if there is none. What it has computed stays as a prefix, of which it is to go on.
        """
        if waiting.request.is_background:
            return False
        victim = next((other for other in reversed(self.running) if other.request.is_background), None)
        if victim is None:
            return False
        self.remove(victim)
        victim.seat, victim.computed, victim.is_resumed = None, 0, True
        self.waiting.put_back(victim)
        plan.preempted.append(victim)
        return True

    def _has_seat(self, sequence: Sequence) -> bool:
        """Whether one more sequence of its kind may run.

        Those that generate nothing run beyond the slots, where seats are left for all of those.
        """
        seats = len(self.cache.seats)
        if sequence.board is not None:
            return len(self.running) < max(self.slots, seats - self.slots)
        generating = sum(other.board is None for other in self.running)
        return generating < self.slots and len(self.running) < seats

    def _reuse(self, sequence: Sequence) -> _Reuse:
        """Returns what of the sequence is in the cache, or in the store if that is more."""
        found = self._in_cache(sequence)
        if self._store is None:
            return found
        pieces = self._store.match(sequence.reusable, self._scope(sequence), exact=self._is_exact(sequence))
        length = self._usable(sequence, sum(piece.length for piece in pieces))
        if length < found.length + MIN_SHARED_TOKENS:
            return found
        first = max(piece.block.start for piece in pieces if piece.block.start <= found.shared)
        # What comes back takes the lowest free cells, which may be below those that are shared.
        if self._is_exact(sequence) or (self._whole_states and first < found.shared):
            first = 0
        rest = [
            piece._replace(length=min(piece.length, length - piece.block.start))
            for piece in pieces
            if first <= piece.block.start < length
        ]
        return _Reuse(found.source if first else None, first, rest)

    def _in_cache(self, sequence: Sequence) -> _Reuse:
        """Returns the seat whose prefix the sequence reuses, and the prefix's length in tokens."""
        exact = self._is_exact(sequence)
        scope = self._scope(sequence)
        source, length = self.cache.longest_prefix(sequence.reusable, scope, exact=exact, whole=self._whole_states)
        length = self._usable(sequence, length)
        return _Reuse(source, length) if length else _Reuse(None, 0)

    def _usable(self, sequence: Sequence, length: int) -> int:
        """Returns how many of the known leading tokens need not be computed."""
        if self._chunk is None or not self._is_exact(sequence):
            return length
        return self._chunk.start(length, len(sequence.reusable))

    def _is_exact(self, sequence: Sequence) -> bool:
        """Whether the sequence reuses exact tokens only."""
        return self._keeps_order and (self._is_alone(sequence) or self._is_apart(sequence))

    def _is_alone(self, sequence: Sequence) -> bool:
        """Whether no other request runs."""
        return all(other.request_id == sequence.request_id for other in self.running)

    def _free_saved(self, plan: Plan) -> bool:
        """Drops what the store holds from the cache if running sequences walk much of it; returns whether it did."""
        if self._store is None or not self.running:
            return False
        most = max(_FEW_IDLE_CELLS, self.cache.used_by_busy // 2)
        frees = False
        for seat in self.cache.idle_seats() if self.cache.idle > most else ():
            if seat.tokens and seat.saved == len(seat.tokens) and self.cache.idle > most:
                self._truncate(plan, seat, 0)
                frees = True
        return frees

    def _keep_order(self, plan: Plan) -> None:
        """Moves the running sequences whose next cells would come before those they have, lowest first.

        What a sequence shares takes cells of its own then. If it runs alone or is computed apart, idle seats are
        evicted for them; otherwise it is left where it is if there are too few. The cells in use get fewer by it, which
        makes steps faster.
        """
        reserved = sum(sequence.outstanding for sequence in self.running)
        seats = [(self.cache.seats[seq.seat], self._is_exact(seq)) for seq in self.running if seq.seat is not None]
        held = [(seat, exact) for seat, exact in seats if seat.cells]
        for seat, exact in sorted(held, key=lambda one: one[0].cells[-1]):
            if not self.cache.would_part(seat):
                continue
            for idle in self.cache.idle_seats() if exact else ():
                if self.cache.free >= reserved + self.cache.shared_cells(seat):
                    break
                self._evict(plan, idle)
            if self.cache.free >= reserved + self.cache.shared_cells(seat):
                self.cache.rehome(seat)
                plan.memory.append(Rehome(seat.index))

    def _scope(self, sequence: Sequence) -> Scope:
        caller = sequence.request.caller if self._scoped else ""
        return (caller, sequence.request.adapters)

    def _is_being_computed(self, sequence: Sequence, length: int) -> bool:
        """Whether a running sequence is computing a longer prefix than the one of `length` tokens in the cache."""
        for other in self.running:
            if other.request.is_background and not sequence.request.is_background:
                continue  # It may wait itself, for others.
            if other.computed < other.prompt_length and self._scope(other) == self._scope(sequence):
                common = common_prefix(other.tokens, sequence.tokens, len(sequence.reusable) - 1)
                if self._whole_states:
                    add_mark(other, common)
                    if will_keep(other, range(length + MIN_SHARED_TOKENS, common + 1)):
                        return True
                elif common - max(length, other.computed) >= MIN_SHARED_TOKENS:
                    return True
        return False

    def _set_marks(self, sequence: Sequence) -> None:
        """Marks where an admitted sequence parts from what is known, and where others may go on that are to come."""
        _, seated = self.cache.longest_prefix(sequence.tokens, self._scope(sequence))
        stored = (
            self._store.common(sequence.tokens, self._scope(sequence)) if isinstance(self._store, StateStore) else 0
        )
        parting = [common_prefix(other.tokens, sequence.tokens, len(sequence.tokens)) for other in sequence.followers]
        most = len(sequence.reusable) - 1
        for mark in (sequence.settled or most, seated, stored, *sorted(parting)):
            add_mark(sequence, min(mark, most))

    def _keep_marked(self, plan: Plan, sequence: Sequence) -> None:
        """Saves the state of a sequence that is at a mark."""
        if not sequence.marks or sequence.computed < sequence.marks[0]:
            return
        del sequence.marks[0]
        assert sequence.seat is not None
        if self._store is not None and (save := self._save(self.cache.seats[sequence.seat])):
            plan.memory.append(save)

    def _make_room(self, plan: Plan, sequence: Sequence, reuse: _Reuse) -> bool:
        """Evicts idle seats until the sequence's cells are free, least recently used first.

        Returns False, without evicting any, if that would not free enough.
        """
        source, length = reuse.source, reuse.shared
        needed = sum(other.outstanding for other in self.running) + sequence.outstanding - length + reuse.spare
        # Newcomers leave room for those that wait to be moved.
        needed += sum(self.cache.shared_cells(self.cache.seats[other.seat or 0]) for other in self._parting())
        if self.cache.free < needed and self.cache.reclaimable(source, length) < needed:
            return False
        for seat in self.cache.idle_seats():
            if self.cache.free >= needed:
                return True
            if seat is not source:
                self._evict(plan, seat)
        if self.cache.free < needed and source is not None:
            self._evict(plan, source, length)
        return True

    def _seat(self, plan: Plan, sequence: Sequence, reuse: _Reuse) -> None:
        source, length = reuse.source, reuse.shared
        seat = self._choose_seat(source)
        if source is None or seat is source:
            self._evict(plan, seat, length)
        else:
            self._evict(plan, seat)
            self.cache.share(source, seat, length)
            plan.memory.append(CopyPrefix(source.index, seat.index, length))
        self.cache.occupy(seat, self._scope(sequence))
        for block, length in reuse.pieces:
            assert block.state is not None
            self.cache.extend(seat, block.tokens[:length], exact=block.exact)
            plan.memory.append(Restore(seat.index, block.state, block.start, length))
        if self._store is not None and reuse.pieces:
            self._store.use(reuse.pieces[-1].block)
        seat.saved = reuse.length // BLOCK * BLOCK if reuse.pieces else seat.saved // BLOCK * BLOCK
        sequence.seat = seat.index
        sequence.computed = reuse.length
        if not sequence.is_resumed:
            sequence.cached = reuse.length
        if self._whole_states:
            self._set_marks(sequence)
        self.running.append(sequence)
        plan.admitted.append(sequence)

    def _choose_seat(self, source: Seat | None) -> Seat:
        """Returns an empty seat, else the least recently used one that is not the source, else the source."""
        idle = self.cache.idle_seats()
        empty = (seat for seat in idle if not seat.tokens)
        other = (seat for seat in idle if seat is not source)
        return next(empty, None) or next(other, None) or idle[0]

    def _evict(self, plan: Plan, seat: Seat, length: int = 0) -> None:
        """Drops the positions of an idle seat from `length` on; the store is offered them before.

        So is the state of a seat that goes on: it is that of these tokens no more then.
        """
        follows, changes = False, self._whole_states or length < len(seat.tokens)
        while self._store is not None and changes and seat.saved < len(seat.tokens):
            if save := self._save(seat, follows=follows):
                plan.memory.append(save)
                follows = True
        self._truncate(plan, seat, length)

    def _save(self, seat: Seat, *, follows: bool = False) -> Save | None:
        """Returns the seat's next block, and notes that it is offered; None if the store does not want it.

        One that follows another in the plan is wanted: the store has yet to hold that. So short a prefix that it would
        not come back is not.
        """
        assert self._store is not None
        if len(seat.tokens) < MIN_SHARED_TOKENS:
            seat.saved = len(seat.tokens)
            return None
        if isinstance(self._store, StateStore):
            start, seat.saved = self._store.saved(seat.tokens, seat.scope), len(seat.tokens)
            return Save(seat.index, list(seat.tokens), start, seat.scope, 0) if start < seat.saved else None
        start, end = seat.saved, min(seat.saved + BLOCK, len(seat.tokens))
        tokens, exact = seat.tokens[:end], min(seat.exact, end)
        seat.saved = end
        wanted = follows or self._store.wants(tokens, start, seat.scope, exact=exact)
        cuts = seat.cuts(start, end) if self._keeps_order else ()
        return Save(seat.index, tokens, start, seat.scope, exact, cuts) if wanted else None

    def _truncate(self, plan: Plan, seat: Seat, length: int) -> None:
        if len(seat.tokens) > length:
            self.cache.truncate(seat, length)
            plan.memory.append(Truncate(seat.index, length))
