"""Where prompts of recurrent and hybrid models are cut, and what goes on from there."""

import random
from collections.abc import Sequence as Rows
from dataclasses import dataclass, field

import pytest

from llm_inference_api.engine.backend import Row
from llm_inference_api.engine.engine import Engine
from llm_inference_api.engine.output import OutputText
from llm_inference_api.engine.prefix_cache import PrefixCache
from llm_inference_api.engine.scheduler import Scheduler
from llm_inference_api.engine.scores import GivenTokens
from llm_inference_api.engine.sequence import Sequence
from llm_inference_api.engine.state_marks import MIN_SHARED_TOKENS, add_mark
from llm_inference_api.engine.state_store import StateStore
from llm_inference_api.engine.step_budget import StepBudget
from llm_inference_api.requests.request import GenerationRequest, Sampling, Stopping
from tests.fakes.backend import FakeBackend, FakeSampler, FakeState
from tests.fakes.budget import fixed

LAYERS = 200
"""Bytes of a state; a token takes one."""


@dataclass
class WholeState:
    """Tokens of a seat, and all those that its state is of."""

    cells: FakeState
    all: list[int]

    @property
    def nbytes(self) -> int:
        """That of the tokens and of the state."""
        return self.cells.nbytes + LAYERS


@dataclass
class StatesBackend(FakeBackend):
    """Refuses to go back to fewer tokens than a seat has, unless to none, and to go on without a state."""

    states: dict[int, list[int]] = field(default_factory=dict)
    """The tokens that the state of each seat is of."""

    def forward(self, rows: Rows[Row]) -> None:
        for row in rows:
            state, cells = self.states.setdefault(row.seat, []), self.seats.get(row.seat, [])
            assert state[: len(cells)] == cells
            assert len(state) == row.position
            state.append(row.token)
        super().forward(rows)

    def copy_prefix(self, source: int, target: int, length: int) -> None:
        assert len(self.states[source]) == length
        super().copy_prefix(source, target, length)
        self.states[target] = list(self.states[source])

    def truncate(self, seat: int, length: int) -> None:
        assert length == 0
        super().truncate(seat, length)
        self.states[seat] = []

    def save(self, seat: int, start: int, end: int, cuts: Rows[int] = ()) -> WholeState:  # type: ignore[override]
        assert len(self.states[seat]) == end
        return WholeState(super().save(seat, start, end), list(self.states[seat]))

    def restore(self, seat: int, state: WholeState | FakeState, start: int, length: int) -> None:  # type: ignore[override]
        cells = state.cells if isinstance(state, WholeState) else state
        assert len(cells.tokens) == length
        super().restore(seat, cells, start, length)
        self.states[seat] = list(state.all) if isinstance(state, WholeState) else [-1]

    def clear(self) -> None:
        super().clear()
        self.states.clear()


class Bench:
    """An engine over such a backend."""

    def __init__(self, slots: int = 2, capacity: int | None = 100_000) -> None:
        self.backend = StatesBackend()
        self.store = StateStore(capacity) if capacity else None
        cache = PrefixCache(slots, 4000)
        self.scheduler = Scheduler(cache, slots, store=self.store, whole_states=True)
        self.engine = Engine(self.backend, self.scheduler, StepBudget(64, 4), clock=lambda: 0.0)

    def submit(self, tokens: list[int], *, settled: int = 0, max_tokens: int = 4, name: str = "") -> Sequence:
        name = name or f"{random.random()}"
        request = GenerationRequest(name, "", Sampling(seed=0), Stopping(max_tokens))
        sampler, output = FakeSampler(self.backend, tokens), OutputText(())
        item = Sequence(request, list(tokens), max_tokens, output, sampler, 0.0, settled=settled)
        self.engine.submit(item)
        return item

    def step(self) -> None:
        self.engine.step()
        for item in self.scheduler.running:
            assert item.seat is not None
            assert self.backend.seats[item.seat] == item.tokens[: item.computed]
        self.engine.save_some()

    def run(self, tokens: list[int], *, settled: int = 0) -> Sequence:
        """Answers a request; what it leaves is saved."""
        item = self.submit(tokens, settled=settled)
        self.finish()
        return item

    def finish(self) -> None:
        while self.engine.busy:
            self.step()
        while self.engine.save_some():
            pass


def prompt(seed: int, length: int) -> list[int]:
    return random.Random(seed).choices(range(1000, 9000), k=length)


def marked(marks: list[int], at: int, *, computed: int = 0) -> list[int]:
    """Returns the marks of a prompt of 200 tokens after one more."""
    item = Bench().submit(prompt(1, 200))
    item.marks, item.computed = list(marks), computed
    add_mark(item, at)
    return item.marks


@pytest.mark.parametrize(
    ("marks", "computed", "at", "expected"),
    [
        ([], 0, 200, [200]),
        ([], 0, 201, []),
        ([], 0, MIN_SHARED_TOKENS - 1, []),
        ([], 0, MIN_SHARED_TOKENS, [MIN_SHARED_TOKENS]),
        ([], 100, 100 + MIN_SHARED_TOKENS - 1, []),
        ([150], 0, 150 + MIN_SHARED_TOKENS - 1, [150]),
        ([150], 0, 140, [140, 150]),
    ],
)
def test_marks_are_in_the_prompt_and_apart(marks: list[int], computed: int, at: int, expected: list[int]) -> None:
    """A state takes memory and a step."""
    assert marked(marks, at, computed=computed) == expected


def test_next_turn_goes_on_where_the_last_one_was_settled() -> None:
    """Its prompt has something else than the answer's beginning and the answer."""
    bench, tokens = Bench(), prompt(1, 100)
    bench.run([*tokens, 1, 2], settled=100)
    assert bench.run([*tokens, 3, 4], settled=100).cached == 100


def test_conversation_goes_on_behind_its_answer() -> None:
    """Also from the seat alone, without a store."""
    for capacity in (None, 100_000):
        bench = Bench(capacity=capacity)
        first = bench.run(prompt(1, 100))
        assert bench.run([*first.tokens, *prompt(2, 50)]).cached == len(first.tokens) - 1


def test_third_prompt_goes_on_where_the_second_one_parted_from_the_first() -> None:
    """No state was there before; others were computed in between, and the first one has left its seat."""
    bench, common = Bench(slots=1), prompt(1, 100)
    cached = []
    for seed in (2, 3, 4):
        cached.append(bench.run([*common, *prompt(seed, 50)]).cached)
        bench.run(prompt(seed + 10, 50))
    assert cached == [0, 0, 100]


def test_third_prompt_goes_on_where_the_second_one_parted_from_a_running_one() -> None:
    """Nothing of which is in the store."""
    bench, common = Bench(), prompt(1, 100)
    running = bench.submit([*common, *prompt(2, 50)], max_tokens=500, name="running")
    while not running.completion_tokens:
        bench.step()
    later = [bench.submit([*common, *prompt(seed, 50)]) for seed in (3, 4)]
    while not later[1].ended:
        bench.step()
    assert [item.cached for item in later] == [0, 100]
    bench.engine.cancel("running")


def test_scores_of_other_texts_go_on_before_the_first_scored_row() -> None:
    """The row itself must be computed for its scores."""
    bench, tokens = Bench(), prompt(1, 100)
    for text, cached in (([1, 2], 0), ([3, 4], 99)):
        item = bench.submit([*tokens, *text], max_tokens=0)
        item.given = GivenTokens({99: (text[0],), 100: (text[1],)})
        bench.finish()
        assert item.cached == cached


def test_prompt_is_cut_where_what_follows_it_parts() -> None:
    """As the texts of scores do, which are queued when it has ended."""
    bench, common = Bench(), prompt(1, 100)
    item = bench.submit([*common, *prompt(2, 50)])
    item.followers = [Bench().submit([*common, *prompt(3, 5)])]
    bench.scheduler.schedule(fixed(10))
    assert item.marks == [100, 149]


def test_longer_way_through_the_store_leaves_a_shorter_seat_as_it_is() -> None:
    """Where the seat ends between two saved states, it has no part of that way."""
    bench, tokens = Bench(slots=2), prompt(1, 200)
    bench.run(tokens[:41], settled=40)
    bench.run(tokens[:91], settled=90)
    bench.run(prompt(2, 40))
    short = bench.submit(tokens[:50], max_tokens=1)
    bench.finish()
    assert short.cached == 40
    assert bench.run(tokens).cached >= 90


def test_answers_to_one_prompt_share_its_computation() -> None:
    """All but its last rows; those that find no slot take it from the store."""
    bench, tokens = Bench(slots=2), prompt(1, 100)
    items = [bench.submit(tokens, settled=99) for _ in range(4)]
    bench.finish()
    assert [item.cached for item in items] == [0, 99, 99, 99]
    assert sum(len(rows) for rows in bench.backend.forwards) == 99 + 4 * (1 + 3)


def test_prompt_that_comes_later_shares_what_is_left_of_another_one() -> None:
    """The other one is cut where they part."""
    bench, common = Bench(), prompt(1, 250)
    bench.submit([*common, *prompt(2, 50)])
    bench.step()
    later = bench.submit([*common, *prompt(3, 50)])
    bench.finish()
    assert later.cached == 250


def test_wait_for_a_state_ends_with_the_one_that_computes_it() -> None:
    """The waiting one computes it then."""
    bench, tokens = Bench(), prompt(1, 200)
    first = bench.submit(tokens, name="first", settled=199)
    bench.step()
    second = bench.submit(tokens)
    bench.step()
    assert second.seat is None
    bench.engine.cancel("first")
    bench.finish()
    assert second.cached == first.computed == 128


def test_state_that_a_sequence_goes_on_from_is_saved_before() -> None:
    """Another one may begin with the same tokens."""
    bench, tokens = Bench(slots=1), prompt(1, 100)
    first = bench.submit(tokens, max_tokens=1)
    while not first.ended:
        bench.engine.step()
    longer = [bench.submit([*tokens, *prompt(seed, 40)]) for seed in (2, 3)]
    bench.finish()
    assert [item.cached for item in longer] == [100, 100]


@pytest.mark.parametrize("capacity", [None, 700, 3000])
@pytest.mark.parametrize("slots", [1, 3])
def test_any_mixture_of_prompts_goes_on_from_its_own_states_only(slots: int, capacity: int | None) -> None:
    """The backend looks at every state; requests are cancelled, and share beginnings of any length."""
    bench, rng = Bench(slots, capacity), random.Random(slots)
    known = [prompt(seed, 300) for seed in range(3)]
    for _ in range(120):
        base = rng.choice(known)
        tokens = [*base[: rng.randrange(1, len(base))], *prompt(rng.randrange(1000), rng.randrange(1, 60))]
        item = bench.submit(tokens, settled=rng.randrange(len(tokens)), max_tokens=rng.randrange(1, 8))
        for _ in range(rng.randrange(6)):
            bench.step()
        if rng.random() < 0.1:
            bench.engine.cancel(item.request_id)
        if item.ended and rng.random() < 0.5:
            known.append(item.tokens)
    bench.finish()
    assert bench.store is None or bench.store.size <= bench.store.capacity
