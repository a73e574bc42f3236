import random
from collections.abc import Sequence as Items
from typing import Any

import pytest

from llm_inference_api.engine.engine import Engine
from llm_inference_api.engine.output import OutputText
from llm_inference_api.engine.plan import CopyPrefix, Plan, Rehome, Restore, Save, Truncate
from llm_inference_api.engine.prefix_cache import PrefixCache
from llm_inference_api.engine.prefix_store import PrefixStore
from llm_inference_api.engine.prompt_chunk import Chunk
from llm_inference_api.engine.scheduler import Scheduler
from llm_inference_api.engine.sequence import Sequence
from llm_inference_api.engine.state_marks import MIN_SHARED_TOKENS
from llm_inference_api.engine.step_budget import StepBudget
from llm_inference_api.requests.adapters import Adapter, Adapters
from llm_inference_api.requests.request import GenerationRequest, Sampling
from tests.fakes.backend import FakeBackend, FakeSampler, FakeState
from tests.fakes.budget import fixed


def sequence(name: str, tokens: list[int], max_tokens: int = 10, adapters: Adapters = ()) -> Sequence:
    request = GenerationRequest(name, "", Sampling(seed=0), adapters=adapters)
    return Sequence(request, list(tokens), max_tokens, OutputText(()), FakeSampler(FakeBackend()), submitted_at=0.0)


def scheduler(*, slots: int = 4, seats: int = 8, cells: int = 1000) -> Scheduler:
    return Scheduler(PrefixCache(seats, cells), slots)


def rows(plan: Plan) -> dict[str, int]:
    return {work.sequence.request_id: work.count for work in plan.work}


def prompt(start: int, length: int) -> list[int]:
    return list(range(start, start + length))


def decode(item: Sequence, token: int = 1) -> None:
    item.tokens.append(token)


def test_prompt_is_computed_in_chunks_of_the_budget() -> None:
    """A prompt longer than the budget takes several steps."""
    policy = scheduler()
    policy.add(sequence("a", prompt(0, 25)))
    assert [rows(policy.schedule(fixed(10))) for _ in range(3)] == [{"a": 10}, {"a": 10}, {"a": 5}]


def test_decoding_comes_before_prompts() -> None:
    """Running answers get their row first; prompts share the rest of the budget in order of arrival."""
    policy = scheduler()
    running = sequence("running", prompt(0, 5))
    policy.add(running)
    policy.schedule(fixed(10))
    decode(running)
    policy.add(sequence("first", prompt(100, 6)))
    policy.add(sequence("second", prompt(200, 6)))
    assert rows(policy.schedule(fixed(10))) == {"running": 1, "first": 6, "second": 3}


def test_budget_is_told_where_the_rows_are_and_of_how_many_requests() -> None:
    """An answer's newest token is, and what is left of the prompts, in the order in which they are computed."""
    policy = scheduler()
    told: list[tuple[Items[int], Items[range], int]] = []

    def budget(decoding: Items[int], prompts: Items[range], newcomers: int) -> int:
        told.append((decoding, prompts, newcomers))
        return 5

    running = sequence("running", prompt(0, 5))
    policy.add(running)
    policy.schedule(budget)
    decode(running)
    policy.add(sequence("first", prompt(100, 6)))
    policy.add(sequence("second", prompt(200, 7)))
    policy.schedule(budget)
    decode(running)
    policy.schedule(budget)
    assert told == [([], [range(5)], 1), ([5], [range(6), range(7)], 2), ([6], [range(4, 6), range(7)], 2)]


def test_decoding_is_never_cut_by_the_budget() -> None:
    """Every running answer moves in every step, even where a prompt could use the whole budget."""
    policy = scheduler()
    items = [sequence(name, prompt(start, 3)) for name, start in (("a", 0), ("b", 50), ("c", 100))]
    for item in items:
        policy.add(item)
    policy.schedule(fixed(100))
    for item in items:
        decode(item)
    assert rows(policy.schedule(fixed(1))) == {"a": 1, "b": 1, "c": 1}


def test_sequences_of_the_same_adapters_take_turns() -> None:
    """A step has those of one set alone; a set with nothing to compute is left out."""
    policy = scheduler()
    items = [sequence(name, prompt(0, 3), adapters=(Adapter(name[0]),)) for name in ("a1", "b1", "a2")]
    for item in (*items, sequence("plain", prompt(0, 3))):
        policy.add(item)
    plans = [policy.schedule(fixed(100)) for _ in range(3)]
    assert [rows(plan) for plan in plans] == [{"a1": 3, "a2": 3}, {"b1": 3}, {"plain": 3}]
    assert [plan.adapters for plan in plans] == [(Adapter("a"),), (Adapter("b"),), ()]
    decode(items[1])
    decode(items[2])
    assert [rows(policy.schedule(fixed(100))) for _ in range(3)] == [{"a2": 1}, {"b1": 1}, {}]


def test_prefix_of_other_adapters_is_not_reused() -> None:
    """Nor of the same one at another scale; its keys and values differ."""
    policy = scheduler()
    first = sequence("first", prompt(0, 40), adapters=(Adapter("a"),))
    policy.add(first)
    policy.schedule(fixed(100))
    policy.remove(first)
    for name, adapters in (("plain", ()), ("less", (Adapter("a", 0.5),)), ("same", (Adapter("a"),))):
        item = sequence(name, prompt(0, 40), adapters=adapters)
        policy.add(item)
        policy.schedule(fixed(100))
        assert item.cached == (39 if name == "same" else 0)


def test_slots_bound_the_running_sequences() -> None:
    """No more sequences run than there are slots; the next one starts when one ends."""
    policy = scheduler(slots=2)
    items = [sequence(name, prompt(start, 3)) for name, start in (("a", 0), ("b", 50), ("c", 100))]
    for item in items:
        policy.add(item)
    assert rows(policy.schedule(fixed(100))) == {"a": 3, "b": 3}
    policy.remove(items[0])
    assert rows(policy.schedule(fixed(100))) == {"c": 3}


def test_admission_reserves_prompt_and_answer() -> None:
    """A sequence starts only when all the cells that it may ever need are free."""
    policy = scheduler(cells=30)
    first = sequence("first", prompt(0, 10), max_tokens=10)
    policy.add(first)
    policy.add(sequence("second", prompt(50, 5), max_tokens=10))
    assert rows(policy.schedule(fixed(100))) == {"first": 10}
    policy.remove(first)
    assert rows(policy.schedule(fixed(100))) == {"second": 5}


def test_queue_keeps_its_order_when_the_first_does_not_fit() -> None:
    """A small request does not overtake a large one that waits for room."""
    policy = scheduler(cells=30)
    policy.add(sequence("running", prompt(0, 10), max_tokens=10))
    policy.schedule(fixed(100))
    policy.add(sequence("large", prompt(50, 10), max_tokens=10))
    policy.add(sequence("small", prompt(90, 2), max_tokens=2))
    assert policy.schedule(fixed(100)).admitted == []


def test_prefix_of_an_ended_sequence_is_reused() -> None:
    """A prompt that begins like an earlier one is computed from where they part."""
    policy = scheduler()
    first = sequence("first", prompt(0, 50))
    policy.add(first)
    policy.schedule(fixed(100))
    policy.remove(first)
    second = sequence("second", [*prompt(0, 40), *prompt(500, 10)])
    policy.add(second)
    plan = policy.schedule(fixed(100))
    assert rows(plan) == {"second": 10}
    assert second.cached == 40
    assert plan.memory == [CopyPrefix(source=0, target=1, length=40)]


def test_prefix_of_a_running_sequence_is_reused() -> None:
    """A busy sequence's prefix is shared too."""
    policy = scheduler()
    first = sequence("first", prompt(0, 50))
    policy.add(first)
    policy.schedule(fixed(100))
    decode(first)
    policy.add(sequence("second", [*prompt(0, 45), 7, 8]))
    assert rows(policy.schedule(fixed(100))) == {"first": 1, "second": 2}


def test_same_prompt_at_the_same_time_is_computed_once() -> None:
    """Requests that come while their common prefix is being computed wait for it instead of computing it again."""
    policy = scheduler(slots=8)
    items = [sequence(f"r{index}", [*prompt(0, 500), 1000 + index]) for index in range(4)]
    for item in items:
        policy.add(item)
    computed = sum(sum(rows(policy.schedule(fixed(100))).values()) for _ in range(12))
    assert computed == 501 + 3
    assert [item.cached for item in items] == [0, 500, 500, 500]


def test_waiting_for_a_prefix_holds_nobody_else() -> None:
    """A sequence that waits for a prefix lets later ones with other prompts start."""
    policy = scheduler()
    policy.add(sequence("first", prompt(0, 100)))
    policy.schedule(fixed(10))
    policy.add(sequence("same", prompt(0, 100)))
    policy.add(sequence("other", prompt(500, 5)))
    assert rows(policy.schedule(fixed(20))) == {"first": 20}
    assert [item.request_id for item in policy.waiting] == ["same"]


def test_waiting_for_a_prefix_ends_when_its_computation_is_cancelled() -> None:
    """When the computing sequence leaves, the next one goes on from what is there."""
    policy = scheduler()
    first = sequence("first", prompt(0, 100))
    policy.add(first)
    policy.schedule(fixed(10))
    policy.add(sequence("same", prompt(0, 100)))
    policy.schedule(fixed(10))
    policy.remove(first)
    assert rows(policy.schedule(fixed(100))) == {"same": 80}


def test_longest_unused_prefix_is_dropped_for_room() -> None:
    """Idle prefixes stay until the room is needed; then the longest unused one goes first."""
    policy = scheduler(cells=100)
    for name, start in (("old", 0), ("new", 1000)):
        item = sequence(name, prompt(start, 40), max_tokens=1)
        policy.add(item)
        policy.schedule(fixed(100))
        policy.remove(item)
    policy.add(sequence("next", prompt(2000, 30), max_tokens=1))
    assert policy.schedule(fixed(100)).memory == [Truncate(seat=0, length=0)]


def test_prefix_in_use_is_not_dropped_for_room() -> None:
    """The prefix that a sequence is about to share survives the eviction that makes room for the rest of it."""
    policy = scheduler(cells=100)
    for name, start in (("source", 0), ("other", 1000)):
        item = sequence(name, prompt(start, 40), max_tokens=1)
        policy.add(item)
        policy.schedule(fixed(100))
        policy.remove(item)
    policy.add(sequence("next", [*prompt(0, 40), *prompt(2000, 30)], max_tokens=5))
    plan = policy.schedule(fixed(100))
    assert plan.memory == [Truncate(seat=1, length=0), CopyPrefix(source=0, target=2, length=40)]


def test_nothing_is_dropped_for_a_sequence_that_cannot_fit_yet() -> None:
    """Prefixes are not sacrificed in vain."""
    policy = scheduler(cells=100)
    cached = sequence("cached", prompt(0, 20), max_tokens=1)
    policy.add(cached)
    policy.schedule(fixed(100))
    policy.remove(cached)
    policy.add(sequence("running", prompt(500, 40), max_tokens=30))
    policy.schedule(fixed(100))
    policy.add(sequence("large", prompt(900, 40), max_tokens=30))
    assert policy.schedule(fixed(100)).memory == []


def test_source_is_taken_over_when_all_other_seats_are_busy() -> None:
    """With one idle seat left, its prefix is cut to what is common instead of copied."""
    policy = scheduler(slots=2, seats=2)
    policy.add(sequence("running", prompt(500, 5)))
    policy.schedule(fixed(100))
    ended = sequence("ended", prompt(0, 50))
    policy.add(ended)
    policy.schedule(fixed(100))
    policy.remove(ended)
    policy.add(sequence("next", [*prompt(0, 40), 7]))
    plan = policy.schedule(fixed(100))
    assert plan.memory == [Truncate(seat=1, length=40)]
    assert rows(plan)["next"] == 1


def test_waiting_sequence_can_be_removed() -> None:
    """A sequence that leaves the queue never runs."""
    policy = scheduler(slots=1)
    policy.add(sequence("a", prompt(0, 3)))
    waiting = sequence("b", prompt(50, 3))
    policy.add(waiting)
    policy.schedule(fixed(100))
    policy.remove(waiting)
    assert not policy.waiting


def with_a_hole(*, keeps_order: bool, store: PrefixStore | None = None) -> tuple[Scheduler, Sequence]:
    """Returns a scheduler of two seats whose second one is running, and whose first one is idle."""
    policy = Scheduler(PrefixCache(2, 100), 2, keeps_order=keeps_order, store=store)
    first, second = sequence("first", prompt(0, 20)), sequence("second", prompt(100, 20))
    for item in (first, second):
        policy.add(item)
    policy.schedule(fixed(100))
    policy.remove(first)
    return policy, second


def test_sequence_is_moved_before_its_cells_get_out_of_order() -> None:
    """An eviction that frees cells below those of a running sequence moves it there."""
    policy, second = with_a_hole(keeps_order=True)
    decode(second)
    policy.add(sequence("third", prompt(300, 30)))
    plan = policy.schedule(fixed(100))
    assert plan.memory == [Truncate(seat=0, length=0), Rehome(seat=1)]
    assert second.seat == 1
    assert policy.cache.seats[1].cells == list(range(21))
    assert policy.cache.seats[0].cells == list(range(21, 51))


def test_sequence_stays_where_order_does_not_matter() -> None:
    """Nothing is moved for a backend whose sums depend on more than the order of cells."""
    policy, _ = with_a_hole(keeps_order=False)
    policy.add(sequence("third", prompt(300, 30)))
    assert policy.schedule(fixed(100)).memory == [Truncate(seat=0, length=0)]


def test_cells_out_of_order_are_copied_in_parts() -> None:
    """A copy has the order of the cells, and a prefix from the store is to have its own."""
    policy, second = with_a_hole(keeps_order=True, store=PrefixStore(STORE))
    policy.cache.truncate(policy.cache.seats[0], 0)  # As an eviction that left no room for moving.
    for _ in range(13):
        decode(second)
        policy.schedule(fixed(100))
    policy.remove(second)
    assert policy.cache.seats[1].cells == [*range(20, 40), *range(13)]
    save = policy.next_save()
    assert save is not None
    assert (save.start, len(save.tokens), save.cuts) == (0, 33, [20])


def test_prefix_that_would_not_come_back_is_not_saved() -> None:
    """The store gives back what saves some tens of rows at least."""
    policy = Scheduler(PrefixCache(seats=2, cells=100), 2, store=PrefixStore(STORE))
    policy.add(item := sequence("short", prompt(0, MIN_SHARED_TOKENS - 1)))
    policy.schedule(fixed(100))
    policy.remove(item)
    assert policy.next_save() is None
    policy.add(item := sequence("longer", prompt(200, MIN_SHARED_TOKENS)))
    policy.schedule(fixed(100))
    policy.remove(item)
    save = policy.next_save()
    assert save is not None
    assert len(save.tokens) == MIN_SHARED_TOKENS


def test_request_alone_reuses_only_what_was_computed_in_order() -> None:
    """What a busy time left out of order is computed again by a request that runs alone, and reused beside others."""
    policy, second = with_a_hole(keeps_order=True)
    policy.cache.truncate(policy.cache.seats[0], 0)  # As an eviction that left no room for moving.
    decode(second)
    policy.schedule(fixed(100))
    decode(second)
    policy.schedule(fixed(100))
    policy.remove(second)
    alone, beside = (sequence(name, [*prompt(100, 20), 1, 1, 5]) for name in ("alone", "beside"))
    policy.add(alone)
    policy.schedule(fixed(100))
    policy.add(beside)
    policy.schedule(fixed(100))
    assert (alone.cached, beside.cached) == (20, 22)


def in_chunks() -> Scheduler:
    """Returns a scheduler for rows that depend on their batch."""
    return Scheduler(PrefixCache(8, 1000), 4, keeps_order=True, chunk=Chunk(8, block=8))


def test_prompt_alone_is_computed_in_fixed_chunks() -> None:
    """Whatever the budget, each step ends at a multiple of the chunk."""
    policy = in_chunks()
    policy.add(sequence("a", prompt(0, 20)))
    assert [rows(policy.schedule(fixed(budget))) for budget in (100, 3, 5)] == [{"a": 8}, {"a": 8}, {"a": 4}]


def test_only_whole_chunks_are_reused_alone() -> None:
    """Not the rest of the prompt, nor the answer, whose rows were computed in other batches."""
    policy = in_chunks()
    first = sequence("first", prompt(0, 20))
    policy.add(first)
    for _ in range(3):
        policy.schedule(fixed(100))
    for token in (7, 8, 9, 10, 11):
        decode(first, token)
        policy.schedule(fixed(100))
    policy.remove(first)
    again, second = sequence("again", prompt(0, 20)), sequence("second", [*prompt(0, 20), 7, 8, 9, 10, 11, 12])
    for item in (again, second):
        policy.add(item)
        policy.schedule(fixed(100))
        policy.remove(item)
    assert (again.cached, second.cached) == (16, 16)


def in_blocks() -> Scheduler:
    """Returns a scheduler for rows that depend on their batch where it has fewer than four."""
    return Scheduler(PrefixCache(8, 1000), 4, keeps_order=True, chunk=Chunk(16, block=4))


def steps_alone(policy: Scheduler, item: Sequence) -> list[int]:
    """Returns the rows of the steps that compute a sequence's prompt, and removes it."""
    policy.add(item)
    counts = []
    while item.seat is None or item.uncomputed:
        counts += rows(policy.schedule(fixed(100))).values()
    policy.remove(item)
    return counts


@pytest.mark.parametrize(
    ("total", "cached", "steps"),
    [(14, 8, [6]), (16, 12, [4]), (22, 16, [6]), (24, 20, [4])],
)
def test_whole_blocks_are_reused_alone_where_as_many_rows_are_left(total: int, cached: int, steps: list[int]) -> None:
    """The rest is computed in a step that has a block at least, and ends where any other does."""
    policy = in_blocks()
    steps_alone(policy, sequence("first", prompt(0, total)))
    again = sequence("again", prompt(0, total))
    assert steps_alone(policy, again) == steps
    assert again.cached == cached


def test_whole_chunks_are_reused_whatever_is_left() -> None:
    """The step behind them has the same rows as without the cache."""
    policy = in_blocks()
    steps_alone(policy, sequence("first", prompt(0, 40)))
    again = sequence("again", prompt(0, 33))
    assert steps_alone(policy, again) == [1]
    assert again.cached == 32


def test_rows_behind_the_last_whole_block_are_not_reused_alone() -> None:
    """Kernels may compute them one by one."""
    policy = in_blocks()
    steps_alone(policy, sequence("first", prompt(0, 11)))
    longer = sequence("longer", prompt(0, 30))
    assert steps_alone(policy, longer) == [8, 14]
    assert longer.cached == 8


def test_chunk_beside_another_request_is_not_reused_alone() -> None:
    """Its batch had other rows."""
    policy = in_chunks()
    other, first = sequence("other", prompt(100, 4)), sequence("first", prompt(0, 20))
    policy.add(other)
    policy.schedule(fixed(100))
    decode(other)
    policy.add(first)
    policy.schedule(fixed(9))
    policy.remove(other)
    policy.remove(first)
    again = sequence("again", prompt(0, 20))
    policy.add(again)
    policy.schedule(fixed(100))
    assert again.cached == 0


STORE = 1 << 20


def storing(*, seats: int = 4, cells: int = 2000, capacity: int = STORE, **options: Any) -> Scheduler:
    return Scheduler(PrefixCache(seats, cells), 2, store=PrefixStore(capacity), **options)


def keep(policy: Scheduler, save: Save) -> None:
    policy.keep(save, FakeState(list(save.tokens[save.start :])))


def finish(policy: Scheduler, item: Sequence) -> None:
    """Computes a prompt and ends its sequence; the store is offered its blocks."""
    policy.add(item)
    while item.uncomputed:
        policy.schedule(fixed(1000))
    policy.remove(item)
    while save := policy.next_save():
        keep(policy, save)


def test_prefixes_leave_the_cache_beside_running_sequences() -> None:
    """As soon as the store has them, but for a few, and the last one while nobody runs."""
    policy = storing()
    finish(policy, sequence("a", prompt(0, 400)))
    finish(policy, sequence("b", prompt(1000, 400)))
    assert policy.cache.idle == 800
    policy.add(sequence("c", prompt(3000, 100)))
    plan = policy.schedule(fixed(1000))
    assert plan.memory == [Truncate(seat=0, length=0)]
    assert policy.cache.idle == 400


def test_stored_prefix_of_other_adapters_is_not_reused() -> None:
    """What the store holds is of the adapters with which it was computed."""
    policy = storing(seats=1)
    finish(policy, sequence("a", prompt(0, 400), adapters=(Adapter("a"),)))
    finish(policy, sequence("other", prompt(1000, 400)))
    plain, same = (sequence(name, prompt(0, 400), adapters=of) for name, of in (("x", ()), ("y", (Adapter("a"),))))
    finish(policy, plain)
    finish(policy, same)
    assert (plain.cached, same.cached > 0) == (0, True)


def test_prefix_that_is_not_in_the_store_stays() -> None:
    """Its blocks are offered one after the other."""
    policy = storing()
    first = sequence("a", prompt(0, 600))
    policy.add(first)
    policy.schedule(fixed(1000))
    policy.remove(first)
    policy.add(sequence("b", prompt(1000, 10)))
    assert policy.schedule(fixed(1000)).memory == []
    saves = []
    while save := policy.next_save():
        saves.append(save)
        keep(policy, save)
        assert policy.schedule(fixed(0)).memory == ([] if len(save.tokens) < 600 else [Truncate(seat=0, length=0)])
    assert [(save.start, len(save.tokens)) for save in saves] == [(at, min(at + 64, 600)) for at in range(0, 600, 64)]
    assert policy.stored_tokens == policy.stored_bytes == 600


def test_prefix_comes_back_from_the_store() -> None:
    """To where the prompts part, behind what a sequence in the cache shares."""
    policy = storing()
    common = prompt(0, 100)
    finish(policy, sequence("a", [*common, *prompt(5000, 700)]))
    finish(policy, sequence("b", prompt(1000, 600)))
    running = sequence("c", [*common, 7])
    policy.add(running)
    policy.schedule(fixed(1000))
    assert not policy.cache.seats[0].tokens
    assert running.cached == 100
    again = sequence("d", [*common, *prompt(5000, 300), *prompt(8000, 5)])
    policy.add(again)
    plan = policy.schedule(fixed(1000))
    (share, *restores) = [change for change in plan.memory if not isinstance(change, Truncate)]
    assert share == CopyPrefix(source=running.seat or 0, target=again.seat or 0, length=64)
    assert [(change.start, change.length) for change in restores if isinstance(change, Restore)] == [
        *((start, 64) for start in range(64, 384, 64)),
        (384, 16),
    ]
    assert (again.cached, rows(plan)["d"]) == (400, 5)


def test_prefix_that_comes_back_is_the_last_to_leave_the_store() -> None:
    """Whoever takes it, as soon as that one runs."""
    policy = storing(seats=1, capacity=250)
    old, new = prompt(0, 100), prompt(1000, 100)
    finish(policy, sequence("old", old))
    finish(policy, sequence("new", new))
    again = sequence("again", [*old, 7])
    policy.add(again)
    policy.schedule(fixed(1000))
    policy.remove(again)
    finish(policy, sequence("other", prompt(2000, 100)))
    found = []
    for name, tokens in (("a", old), ("b", new)):
        item = sequence(name, [*tokens, 8])
        policy.add(item)
        policy.schedule(fixed(1000))
        found.append(item.cached)
        policy.remove(item)
    assert (again.cached, *found) == (100, 100, 0)


def test_prefix_that_is_evicted_goes_into_the_store_first() -> None:
    """Where it had no time to go before."""
    policy = storing(cells=200)
    first = sequence("a", prompt(0, 150))
    policy.add(first)
    policy.schedule(fixed(1000))
    policy.remove(first)
    policy.add(sequence("b", prompt(1000, 100)))
    *saves, truncate = policy.schedule(fixed(1000)).memory
    assert [len(save.tokens) for save in saves if isinstance(save, Save)] == [64, 128, 150]
    assert truncate == Truncate(seat=0, length=0)


def test_restored_block_needs_room_for_a_moment() -> None:
    """Where there is none for it as a whole, what is in the cache alone is reused."""
    policy = storing(seats=1, cells=100)
    finish(policy, sequence("a", prompt(0, 60), max_tokens=1))
    finish(policy, sequence("b", prompt(1000, 60), max_tokens=1))
    tight = sequence("c", [*prompt(0, 40), *prompt(2000, 50)], max_tokens=10)
    policy.add(tight)
    policy.schedule(fixed(1000))
    assert (tight.seat, tight.cached) == (0, 0)
    policy.remove(tight)
    fitting = sequence("d", [*prompt(0, 40), *prompt(4000, 30)], max_tokens=6)
    policy.add(fitting)
    policy.schedule(fixed(1000))
    assert fitting.cached == 40


def test_conversations_are_computed_once() -> None:
    """Whatever order they come in, with a few cells for many; the backend's seats hold what the scheduler believes."""
    backend, chance = FakeBackend(), random.Random(1)
    policy = Scheduler(PrefixCache(4, 700), 3, store=PrefixStore(STORE), keeps_order=True)
    budget = StepBudget(128, 4)
    engine = Engine(backend, policy, budget, clock=lambda: 0.0)
    told: list[list[int]] = [prompt(1000 * number, 20) for number in range(8)]
    computed = reused = 0
    for turn in range(60):
        chosen = chance.sample(range(8), chance.randint(1, 4))
        items = {}
        for number in chosen:
            told[number] += [chance.randrange(10_000) for _ in range(chance.randint(1, 30))]
            told[number] = told[number][:400]
            item = items[number] = sequence(f"{turn} {number}", told[number], max_tokens=chance.randint(1, 40))
            item.sampler = FakeSampler(backend, item.tokens)
            engine.submit(item)
        while engine.busy:
            engine.step()
            for item in policy.running:
                assert backend.seats[item.seat or 0] == item.tokens[: item.computed]
            if chance.random() < 0.7:
                engine.save_some()
        for number, item in items.items():
            computed += item.prompt_length - item.cached
            reused += item.cached
            told[number] = list(item.tokens)
    assert reused > 4 * computed
