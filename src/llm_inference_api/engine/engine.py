"""One step of the engine: schedule → forward → sample → emit."""

import time
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Rows

from llm_inference_api.engine.backend import KEPT, Backend, BackendError, Row
from llm_inference_api.engine.output import Said
from llm_inference_api.engine.plan import CopyPrefix, Plan, Rehome, Restore, Save, Truncate, Work
from llm_inference_api.engine.scheduler import Scheduler
from llm_inference_api.engine.sequence import Sequence
from llm_inference_api.engine.step_budget import StepBudget
from llm_inference_api.errors import FORWARD_FAILED, ServiceError, UnavailableError
from llm_inference_api.requests.adapters import NO_ADAPTERS, Adapters
from llm_inference_api.requests.events import FinishReason, Progress, Stage
from llm_inference_api.requests.step import Delta, Rejection, StageEntry, StepOutput, StepStats

PROGRESS_INTERVAL = 1.0
"""Seconds between progress reports of requests in queue or prefill."""


class Engine:
    """Continuous batching: each step computes a batch with rows of many sequences. Owned by one thread."""

    def __init__(
        self,
        backend: Backend,
        scheduler: Scheduler,
        budget: StepBudget,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backend = backend
        self._scheduler = scheduler
        self._budget = budget
        self._clock = clock
        self.on_forward: Callable[[tuple[str, ...]], None] = lambda _: None
        """Called with the ids of the requests in a step before it computes them, unless they are those of the step
        before."""
        self._computing: tuple[str, ...] = ()
        self._adapters = NO_ADAPTERS
        """Those of the last forward."""
        self._next_progress = 0.0
        self._requests: dict[str, list[Sequence]] = {}
        """Sequences that have not ended, by request id."""
        self._rejections: list[Rejection] = []
        self._cancelled: list[Stage] = []
        self._entries: list[StageEntry] = []
        self._late: list[Sequence] = []
        """Sequences whose newest token is computed, but whose next mask is not."""

    @property
    def busy(self) -> bool:
        """Whether a step has anything to compute or to report."""
        return bool(self._requests or self._rejections or self._cancelled)

    def submit(self, sequence: Sequence) -> None:
        """Queues a sequence."""
        self._requests.setdefault(sequence.request_id, []).append(sequence)
        self._scheduler.add(sequence)
        self._enter(sequence, Stage.QUEUED, sequence.submitted_at)

    def reject(self, request_id: str, error: ServiceError) -> None:
        """Reports a request as rejected with the output of the next step."""
        self._rejections.append(Rejection(request_id, error))

    def cancel(self, request_id: str) -> None:
        """Ends all sequences of a request, in any stage; has no effect on an unknown or ended request."""
        for sequence in list(self._requests.get(request_id, ())):
            self._cancelled.append(sequence.stage)
            self._end(sequence)

    def count_cancelled(self, stage: Stage) -> None:
        """Counts a request that was cancelled before it reached the engine, for the statistics of the next step."""
        self._cancelled.append(stage)

    def step(self) -> StepOutput:
        """Runs one step and returns its deltas, rejections, progress reports and statistics.

        Does not block, except for a mask while no sequence has anything else to compute.
        """
        started = self._clock()
        plan = self._scheduler.schedule(self._budget.rows)
        for sequence in plan.preempted:
            self._enter(sequence, Stage.QUEUED, started)
        self._late = [sequence for sequence in self._late if sequence not in plan.preempted]
        for sequence in plan.admitted:
            sequence.started_at = started
            self._enter(sequence, Stage.PREFILL, started)
        self._announce(plan)
        deltas = self._compute(plan)
        return self._emit(plan, deltas, started)

    def save_some(self, seconds: float = 0.0) -> bool:
        """Copies prefixes of ended requests into the store, a block or as many as take about so long.

        Returns whether there was anything to copy.
        """
        until = self._clock() + seconds
        while save := self._scheduler.next_save():
            try:
                self._save(save)
            except BackendError as error:
                self._fail_all(error)
                return False
            if self._clock() >= until:
                return True
        return False

    def _save(self, save: Save) -> None:
        self._scheduler.keep(save, self._backend.save(save.seat, save.start, len(save.tokens), save.cuts))

    def _announce(self, plan: Plan) -> None:
        sequences = (*(work.sequence for work in plan.all_work), *self._late)
        computing = tuple(dict.fromkeys(sequence.request_id for sequence in sequences))
        if computing != self._computing:
            self._computing = computing
            self.on_forward(computing)

    def _compute(self, plan: Plan) -> list[Delta]:
        """Applies the plan, and returns the deltas of what its forwards say."""
        deltas: list[Delta] = []
        try:
            self._change_memory(plan)
            for work in plan.apart:
                self._forward([work], work.sequence.request.adapters)
            deltas = self._read_given(plan.apart)
            self._forward(plan.work, plan.adapters)
        except BackendError as error:
            self._fail_all(error)
            return [*deltas, *self._sample([])]
        return [*deltas, *self._read_given(plan.work), *self._sample(_last_rows(plan.work))]

    def _forward(self, works: Rows[Work], adapters: Adapters) -> None:
        """Runs the forward of the works, if there are any. Raises BackendError."""
        rows = [row for work in works for row in _rows(work)]
        if not rows:
            return
        if adapters != self._adapters:
            self._backend.adapt(adapters)
            self._adapters = adapters
        started = self._clock()
        self._backend.forward(rows)
        self._budget.observe(len(rows), sum(row.position for row in rows), self._clock() - started)

    def _read_given(self, works: Rows[Work]) -> list[Delta]:
        """Reads the log probabilities of given tokens; returns the deltas of sequences that end with theirs."""
        row, deltas = 0, []
        for work in works:
            sequence, first = work.sequence, row - work.start
            row += work.count
            if sequence.given is not None and not sequence.ended:
                deltas += self._read(sequence, range(work.start, work.start + work.count), first)
        return deltas

    def _read(self, sequence: Sequence, positions: range, row: int) -> list[Delta]:
        """Reads what a sequence wants after its rows of a forward, where position 0 would be row `row`."""
        assert sequence.given is not None
        try:
            for position, tokens in sequence.given.wanted.items():
                if position in positions:
                    scores = self._backend.logprobs(row + position, tokens, sequence.given.top)
                    sequence.given.found |= {(position, score.token_id): score for score in scores}
        except ServiceError as error:
            self._fail(sequence.request_id, error)
            return []
        if sequence.computed < sequence.prompt_length or sequence.completion_tokens:
            return []
        if sequence.max_tokens:
            return [self._echo(sequence)]
        return self._scored(sequence)

    def _echo(self, sequence: Sequence) -> Delta:
        """Returns the delta that an answer begins with which repeats the prompt."""
        assert sequence.given is not None
        logprobs = sequence.given.of_prompt(sequence.tokens[0], self._backend.text(sequence.tokens[0]))
        return Delta(sequence.request_id, sequence.echo, logprobs, answer=sequence.index)

    def _scored(self, sequence: Sequence) -> list[Delta]:
        """Ends a sequence that generates nothing, and queues those that begin with it."""
        for follower in sequence.followers:
            self.submit(follower)
        board = sequence.board
        if board is not None:
            board.ended(sequence.cached, is_first=not sequence.is_follower)
            if board.left:
                self._end(sequence)
                return []
        self._enter(sequence, Stage.DECODE, self._clock())
        sequence.finish_reason = FinishReason.LENGTH
        delta = self._delta(sequence, sequence.output.add(b"", final=True))
        if board is None:
            echo = self._echo(sequence)
            return [delta._replace(text=echo.text, logprobs=echo.logprobs)]
        return [delta._replace(scores=board.scores(), usage=board.usage)]

    def _change_memory(self, plan: Plan) -> None:
        for change in plan.memory:
            match change:
                case Truncate(seat, length):
                    self._backend.truncate(seat, length)
                case CopyPrefix(source, target, length):
                    self._backend.copy_prefix(source, target, length)
                case Rehome(seat):
                    self._backend.rehome(seat)
                case Save():
                    self._save(change)
                case Restore(seat, state, start, length):
                    self._backend.restore(seat, state, start, length)

    def _sample(self, scored: list[tuple[Sequence, int]]) -> list[Delta]:
        """Samples the sequences whose mask is ready; the others are tried again in the next steps.

        Blocks on the first pending mask if no sequence was sampled and none has tokens to compute.
        """
        due = [*((sequence, KEPT) for sequence in self._late), *scored]
        self._late = []
        deltas = [
            delta
            for sequence, row in due
            if not sequence.ended and self._is_due(sequence, row)  # A failed sibling may have ended it in this loop.
            for delta in self._choose(sequence, row)
        ]
        if self._late and not deltas and all(not sequence.uncomputed for sequence in self._scheduler.running):
            deltas = self._choose(self._late.pop(0), KEPT)
        return deltas

    def _is_due(self, sequence: Sequence, row: int) -> bool:
        if sequence.sampler.is_ready():
            return True
        if row != KEPT:
            sequence.sampler.keep(row)
        self._late.append(sequence)
        return False

    def _choose(self, sequence: Sequence, row: int) -> list[Delta]:
        """Samples the sequence's next token; returns its delta, or an empty list if sampling failed."""
        try:
            token = sequence.sampler.sample(row)
        except ServiceError as error:
            self._fail(sequence.request_id, error)
            return []
        return [self._append(sequence, row, token)]

    def _append(self, sequence: Sequence, row: int, token: int) -> Delta:
        sequence.tokens.append(token)
        if sequence.completion_tokens == 1:
            self._enter(sequence, Stage.DECODE, self._clock())
        top = sequence.request.sampling.logprobs
        logprob = None if top is None else sequence.sampler.logprob(row, token, top)
        ended = self._backend.is_end(token) and not sequence.request.stopping.ignore_eos
        full = sequence.completion_tokens >= sequence.max_tokens
        piece = b"" if ended else self._backend.piece(token)
        said = sequence.output.add(piece, final=ended or full, logprob=logprob)
        if ended or sequence.output.stopped:
            sequence.finish_reason = FinishReason.STOP
        elif full:
            sequence.finish_reason = FinishReason.LENGTH
        return self._delta(sequence, said)

    def _delta(self, sequence: Sequence, said: Said) -> Delta:
        delta = Delta(
            sequence.request_id,
            said.text,
            said.logprobs,
            sequence.finish_reason,
            answer=sequence.index,
            thought=said.thought,
            calls=said.calls,
        )
        if sequence.finish_reason is None:
            return delta
        self._end(sequence)
        return delta._replace(
            usage=sequence.usage,
            max_tokens=sequence.max_tokens,
            ended_at=self._clock(),
            ignored=sequence.ignored,
            stop=sequence.output.matched,
        )

    def _emit(self, plan: Plan, deltas: list[Delta], started: float) -> StepOutput:
        now = self._clock()
        output = StepOutput(
            deltas=tuple(delta for delta in deltas if not delta.is_empty),
            rejections=tuple(self._rejections),
            progress=(*self._progress(now), *self._wanted_progress(plan, now)),
            entries=tuple(self._entries),
            stats=self._stats(plan, len(deltas), now - started, now),
        )
        self._rejections.clear()
        self._cancelled.clear()
        self._entries.clear()
        return output

    def _progress(self, now: float) -> tuple[tuple[str, Progress], ...]:
        if now < self._next_progress:
            return ()
        self._next_progress = now + PROGRESS_INTERVAL
        return (
            *((seq.request_id, Progress(Stage.QUEUED, ahead)) for ahead, seq in enumerate(self._scheduler.waiting)),
            *(
                (seq.request_id, _prefill_progress(seq, now, seq.computed))
                for seq in self._scheduler.running
                if seq.stage is Stage.PREFILL and not seq.request.wants_progress
            ),
        )

    @staticmethod
    def _wanted_progress(plan: Plan, now: float) -> Iterator[tuple[str, Progress]]:
        """Yields what was reused of prompts and what the step computed, for requests that want to know of each step."""
        for sequence in plan.admitted:
            if sequence.request.wants_progress and not sequence.index:
                yield sequence.request_id, _prefill_progress(sequence, sequence.started_at, sequence.cached)
        for work in plan.all_work:
            sequence = work.sequence
            if work.is_prompt and sequence.request.wants_progress and not sequence.index:
                yield sequence.request_id, _prefill_progress(sequence, now, sequence.computed)

    def _stats(self, plan: Plan, sampled: int, seconds: float, now: float) -> StepStats:
        cache = self._scheduler.cache
        used = cache.used_by_busy
        waiting = [sequence for sequence in self._scheduler.waiting if not sequence.request.is_background]
        return StepStats(
            seconds=seconds,
            prompt_tokens=sum(work.count for work in plan.all_work if work.is_prompt),
            cached_tokens=sum(sequence.cached for sequence in plan.admitted if not sequence.is_resumed),
            completion_tokens=sampled,
            queue_seconds=tuple(
                now - seconds - sequence.submitted_at
                for sequence in plan.admitted
                if not sequence.is_follower and not sequence.request.is_background
            ),
            cancelled=tuple(self._cancelled),
            running=len(self._scheduler.running),
            waiting=len(waiting),
            kv_used=used,
            kv_cached=cache.idle,
            stored_tokens=self._scheduler.stored_tokens,
            stored_bytes=self._scheduler.stored_bytes,
            oldest_waiting=max((now - sequence.submitted_at for sequence in waiting), default=0.0),
        )

    def _enter(self, sequence: Sequence, stage: Stage, at: float) -> None:
        if sequence.is_follower and stage is not Stage.DECODE:
            return
        self._entries.append(StageEntry(sequence.request_id, stage, at, sequence.index))

    def _end(self, sequence: Sequence) -> None:
        sequence.ended = True
        siblings = self._requests[sequence.request_id]
        siblings.remove(sequence)
        if not siblings:
            del self._requests[sequence.request_id]
        self._scheduler.remove(sequence)
        self._late = [other for other in self._late if other is not sequence]
        sequence.sampler.close()

    def _fail(self, request_id: str, error: ServiceError) -> None:
        """Ends all sequences of a request and rejects it with the error; has no effect on an ended request."""
        sequences = list(self._requests.get(request_id, ()))
        if sequences:
            self.reject(request_id, error)
        for sequence in sequences:
            self._end(sequence)

    def _fail_all(self, error: BackendError) -> None:
        """Fails all running requests and clears the KV cache, whose state after a failed forward is undefined."""
        for sequence in list(self._scheduler.running):
            self._fail(sequence.request_id, UnavailableError(FORWARD_FAILED, str(error)))
        self._scheduler.cache.clear()
        self._backend.clear()


def _prefill_progress(sequence: Sequence, now: float, done: int) -> Progress:
    seconds = now - sequence.started_at
    return Progress(Stage.PREFILL, 0, sequence.prompt_length, done, sequence.cached, seconds)


def _rows(work: Work) -> list[Row]:
    sequence, start = work.sequence, work.start
    assert sequence.seat is not None
    last = len(sequence.tokens) - 1
    wanted = sequence.given.wanted if sequence.given is not None else ()
    return [
        Row(sequence.tokens[position], position, sequence.seat, position == last or position in wanted)
        for position in range(start, start + work.count)
    ]


def _last_rows(work: list[Work]) -> list[tuple[Sequence, int]]:
    scored, row = [], -1
    for item in work:
        row += item.count
        if not item.sequence.uncomputed and item.sequence.max_tokens:
            scored.append((item.sequence, row))
    return scored
