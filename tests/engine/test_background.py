"""Sequences in the background leave their seats to others, and go on where they stood."""

from collections.abc import Sequence as Items
from dataclasses import replace
from pathlib import Path

import pytest

from llm_inference_api.engine.prefix_cache import PrefixCache
from llm_inference_api.engine.scheduler import Scheduler
from llm_inference_api.engine.sequence import Sequence
from llm_inference_api.requests.bundled import BUNDLED
from llm_inference_api.requests.events import Stage
from llm_inference_api.requests.request import Stopping
from tests.engine.in_process import InProcess
from tests.engine.test_engine import Bench, deltas, text
from tests.engine.test_queue import asked_by, order, queue
from tests.engine.test_scheduler import decode, prompt, rows, scheduler, sequence
from tests.fakes.backend import FakeBackend
from tests.fakes.budget import fixed


def behind(item: Sequence) -> Sequence:
    """Returns the sequence, in the background."""
    item.request = replace(item.request, is_background=True)
    return item


def running(policy: Scheduler) -> list[str]:
    return [item.request_id for item in policy.running]


def test_background_is_served_after_all_others() -> None:
    """Whoever came first; among itself in turn by caller."""
    waiting = queue(
        behind(asked_by("ann", "b1")),
        behind(asked_by("ann", "b2")),
        behind(asked_by("bob", "b3")),
        asked_by("cid", "a1"),
        asked_by("cid", "a2"),
    )
    assert order(waiting) == ["a1", "a2", "b1", "b3", "b2"]
    assert len(waiting) == 5


def test_sequence_that_lost_its_seat_is_its_callers_first() -> None:
    """It does not wait behind those that came later."""
    waiting = queue(behind(asked_by("ann", "later")))
    waiting.put_back(behind(asked_by("ann", "first")))
    assert order(waiting) == ["first", "later"]


def test_waiting_request_takes_the_seat_of_the_newest_in_the_background() -> None:
    """At the next step, and no more seats than it needs."""
    policy = scheduler(slots=2)
    policy.add(behind(sequence("old", prompt(0, 5))))
    policy.add(behind(sequence("new", prompt(100, 5))))
    policy.schedule(fixed(100))
    policy.add(sequence("urgent", prompt(200, 5)))
    plan = policy.schedule(fixed(100))
    assert [item.request_id for item in plan.preempted] == ["new"]
    assert running(policy) == ["old", "urgent"]
    assert order(policy.waiting) == ["new"]


def test_background_takes_no_seat_of_others() -> None:
    """Neither of requests that are not, nor of its own kind."""
    policy = scheduler(slots=2)
    policy.add(sequence("a", prompt(0, 5)))
    policy.add(behind(sequence("b", prompt(100, 5))))
    policy.schedule(fixed(100))
    policy.add(behind(sequence("c", prompt(200, 5))))
    assert not policy.schedule(fixed(100)).preempted
    assert running(policy) == ["a", "b"]


def test_cells_are_taken_from_the_background() -> None:
    """Where seats are free but the cache is not."""
    policy = scheduler(slots=4, cells=100)
    policy.add(behind(sequence("b", prompt(0, 60), max_tokens=20)))
    policy.schedule(fixed(100))
    policy.add(sequence("a", prompt(200, 60), max_tokens=20))
    assert [item.request_id for item in policy.schedule(fixed(100)).preempted] == ["b"]
    assert running(policy) == ["a"]


def test_it_goes_on_with_what_it_had_computed() -> None:
    """Prompt and answer so far are a prefix, of which all but the last token is reused; the usage is not changed."""
    policy = scheduler(slots=1)
    item = behind(sequence("b", prompt(0, 40)))
    policy.add(item)
    policy.schedule(fixed(100))
    decode(item, 7)
    policy.schedule(fixed(100))
    decode(item, 8)
    urgent = sequence("a", prompt(200, 5))
    policy.add(urgent)
    policy.schedule(fixed(100))
    policy.remove(urgent)
    assert rows(policy.schedule(fixed(100))) == {"b": 1}
    assert (item.computed, item.cached) == (42, 0)


def test_prompts_of_others_come_first_in_a_step() -> None:
    """The rest of the budget is the background's."""
    policy = scheduler()
    policy.add(behind(sequence("b", prompt(0, 30))))
    policy.schedule(fixed(10))
    policy.add(sequence("a", prompt(100, 8)))
    assert rows(policy.schedule(fixed(10))) == {"a": 8, "b": 2}


def test_prefix_that_is_computed_in_the_background_is_not_waited_for() -> None:
    """It may itself have to wait."""
    policy = scheduler()
    policy.add(behind(sequence("b", prompt(0, 100))))
    policy.schedule(fixed(10))
    policy.add(sequence("a", prompt(0, 100)))
    assert "a" in rows(policy.schedule(fixed(10)))


def test_answer_is_the_same_with_and_without_the_loss_of_its_seat() -> None:
    """No token is lost or said twice, and the others were not kept waiting."""
    bench = Bench(slots=1)
    bench.submit("b", [10, 11], Stopping(max_tokens=6), is_background=True)
    outputs = [bench.engine.step() for _ in range(3)]
    bench.submit("a", [50, 51])
    outputs.append(bench.engine.step())
    assert text(outputs[-1:], "a") == "52 "
    outputs += bench.run()
    assert text(outputs, "a") == "52 53 54 55 "
    assert text(outputs, "b") == "12 13 14 15 16 17 "
    assert deltas(outputs, "b")[-1].usage.completion_tokens == 6  # type: ignore[union-attr]


def test_sequence_that_waits_for_its_mask_may_lose_its_seat() -> None:
    """Its token is sampled once, when it has computed its last row again."""
    bench = Bench(FakeBackend(late_after={11}), slots=2)
    bench.submit("a", [50, 51], is_background=True)
    bench.submit("b", [10, 11], is_background=True)
    outputs = [bench.engine.step()]
    bench.submit("urgent", [70, 71])
    outputs += [bench.engine.step() for _ in range(2)]
    assert text(outputs, "b") == ""
    outputs += bench.run()
    assert text(outputs, "urgent") == "72 73 74 75 "
    assert text(outputs, "b") == "12 13 14 15 "


def test_background_does_not_count_as_waiting() -> None:
    """Who scales by the queue need not scale for what nobody waits for."""
    bench = Bench(slots=1)
    bench.submit("a", [10])
    bench.submit("b", [20], is_background=True)
    bench.now = 5.0
    stats = bench.engine.step().stats
    assert (stats.running, stats.waiting, stats.oldest_waiting) == (1, 0, 0.0)
    queued = [output.stats.queue_seconds for output in bench.run()]
    assert not any(queued)


def test_loss_of_the_seat_is_told_as_a_stage() -> None:
    """Queued, computed, queued again, and the answer begins once."""
    bench = Bench(slots=1)
    bench.submit("b", [10, 11], is_background=True)
    outputs = [bench.engine.step()]
    bench.submit("a", [50])
    outputs += bench.run()
    stages = [entry.stage for output in outputs for entry in output.entries if entry.request_id == "b"]
    assert stages == [Stage.QUEUED, Stage.PREFILL, Stage.DECODE, Stage.QUEUED, Stage.PREFILL]


@pytest.mark.parametrize("prefix_store", [0, None])
def test_real_model_goes_on_with_the_same_text(prefix_store: int | None) -> None:
    """Greedily, with the demo: the answer is that of a request that was never interrupted."""
    path = BUNDLED["demo"].path()
    assert isinstance(path, Path)

    def answer(*, interrupted: bool) -> str:
        engine = InProcess(path, slots=1, prefix_store=prefix_store)
        told = engine.submit("b", None, 24, 7, prompt="Once upon a time", temperature=0.0, is_background=True)
        if interrupted:
            for _ in range(9):
                engine.step()
            engine.submit("a", None, 4, 7, prompt="Who wrote Hamlet?")
        engine.finish()
        assert told.error is None
        return told.text

    assert answer(interrupted=True) == answer(interrupted=False)


def test_cache_is_free_when_all_have_ended() -> None:
    """No cell is lost on the way."""
    cache = PrefixCache(8, 1000)
    policy = Scheduler(cache, 1)
    item, urgent = behind(sequence("b", prompt(0, 40))), sequence("a", prompt(200, 5))
    policy.add(item)
    policy.schedule(fixed(100))
    policy.add(urgent)
    policy.schedule(fixed(100))
    policy.remove(urgent)
    policy.schedule(fixed(100))
    policy.remove(item)
    assert (cache.used_by_busy, cache.free + cache.idle) == (0, 1000)


def test_requests_in_the_background_are_no_newcomers() -> None:
    """Answers do not wait longer for their prompts; several answers to one request are one newcomer."""
    policy, told = scheduler(slots=4), list[int]()

    def budget(_decoding: Items[int], _prompts: Items[range], newcomers: int) -> int:
        told.append(newcomers)
        return 1

    policy.add(behind(sequence("behind", prompt(0, 5))))
    policy.add(sequence("one", prompt(100, 5)))
    policy.add(sequence("one", prompt(200, 5)))
    policy.schedule(budget)
    assert told == [1]
