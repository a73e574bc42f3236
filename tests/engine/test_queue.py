from dataclasses import replace

from llm_inference_api.engine.prefix_cache import PrefixCache
from llm_inference_api.engine.queue import WaitingQueue
from llm_inference_api.engine.scheduler import Scheduler
from llm_inference_api.engine.sequence import Sequence
from tests.engine.test_scheduler import prompt, rows, scheduler, sequence
from tests.fakes.budget import fixed


def asked_by(caller: str, name: str, tokens: list[int] | None = None) -> Sequence:
    item = sequence(name, tokens or [1])
    item.request = replace(item.request, caller=caller)
    return item


def queue(*items: Sequence) -> WaitingQueue:
    waiting = WaitingQueue()
    for item in items:
        waiting.add(item)
    return waiting


def order(waiting: WaitingQueue) -> list[str]:
    return [item.request_id for item in waiting]


def test_one_callers_sequences_are_served_in_order_of_arrival() -> None:
    """Among themselves, a caller's requests keep their order."""
    assert order(queue(*(asked_by("ann", name) for name in ("a1", "a2", "a3")))) == ["a1", "a2", "a3"]


def test_callers_are_served_in_turn() -> None:
    """A single request waits for one of another caller's thirty, not for thirty."""
    many = [asked_by("ann", f"a{index}") for index in range(30)]
    assert order(queue(*many, asked_by("bob", "b")))[:3] == ["a0", "b", "a1"]


def test_turns_go_on_where_they_stopped() -> None:
    """Whoever was served last is last, whenever the next slot is free."""
    first, other = asked_by("ann", "a1"), asked_by("bob", "b1")
    waiting = queue(first, asked_by("ann", "a2"), other, asked_by("bob", "b2"))
    waiting.serve(first)
    assert order(waiting) == ["b1", "a2", "b2"]
    waiting.serve(other)
    assert order(waiting) == ["a2", "b2"]


def test_leaving_the_queue_costs_no_turn() -> None:
    """A cancelled request leaves its caller's turn to the caller's next one."""
    left = asked_by("ann", "a1")
    waiting = queue(left, asked_by("ann", "a2"), asked_by("bob", "b1"))
    waiting.remove(left)
    assert order(waiting) == ["a2", "b1"]


def test_coming_again_wins_no_turn() -> None:
    """A caller who has been served waits behind those who have not, even after the caller's queue was empty."""
    first = asked_by("ann", "a1")
    waiting = queue(first, asked_by("bob", "b1"), asked_by("cat", "c1"))
    waiting.serve(first)
    waiting.add(asked_by("ann", "a2"))
    assert order(waiting) == ["b1", "c1", "a2"]


def test_length_counts_all_callers() -> None:
    """What the metrics show as waiting is everybody's."""
    waiting = queue(asked_by("ann", "a1"), asked_by("ann", "a2"), asked_by("bob", "b1"))
    assert len(waiting) == 3
    for item in list(waiting):
        waiting.serve(item)
    assert len(waiting) == 0


def test_free_slots_go_to_callers_in_turn() -> None:
    """The scheduler admits a latecomer's only request after one of the others' queue."""
    policy = scheduler(slots=1)
    running = asked_by("ann", "a0", prompt(0, 3))
    policy.add(running)
    policy.schedule(fixed(100))
    for index in range(1, 31):
        policy.add(asked_by("ann", f"a{index}", prompt(100 * index, 3)))
    policy.add(asked_by("bob", "b", prompt(5000, 3)))
    served = []
    for _ in range(3):
        policy.remove(running)
        (running,) = policy.schedule(fixed(100)).admitted
        served.append(running.request_id)
    assert served == ["a1", "b", "a2"]


def test_large_request_keeps_its_turn_until_there_is_room() -> None:
    """Other callers' small requests do not overtake a large one whose turn it is."""
    policy = scheduler(cells=40)
    policy.add(asked_by("ann", "running", prompt(0, 10)))
    policy.schedule(fixed(100))
    policy.add(asked_by("bob", "large", prompt(100, 25)))
    policy.add(asked_by("cat", "small", prompt(200, 2)))
    assert rows(policy.schedule(fixed(100))) == {}


def test_prefixes_of_callers_are_kept_apart_where_asked_for() -> None:
    """Another caller's prefix is neither found nor waited for; one's own is."""
    policy = Scheduler(PrefixCache(8, 1000), 4, scoped_prefixes=True)
    anns, bobs = asked_by("ann", "a1", prompt(0, 100)), asked_by("bob", "b1", prompt(0, 100))
    policy.add(anns)
    assert rows(policy.schedule(fixed(60))) == {"a1": 60}
    policy.add(bobs)
    assert rows(policy.schedule(fixed(200))) == {"a1": 40, "b1": 100}
    policy.remove(anns)
    policy.remove(bobs)
    again, stranger = asked_by("ann", "a2", prompt(0, 100)), asked_by("cat", "c1", prompt(0, 100))
    for item in (again, stranger):
        policy.add(item)
    assert rows(policy.schedule(fixed(200))) == {"a2": 1, "c1": 100}
    assert (again.cached, stranger.cached) == (99, 0)
