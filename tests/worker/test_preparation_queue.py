import threading
import time

import pytest

from llm_inference_api.requests.constraint import Constraint, Language
from llm_inference_api.requests.inquiry import Tokenize
from llm_inference_api.requests.request import GenerationRequest, Sampling
from llm_inference_api.requests.tools import NO_ARGUMENTS, Tool, ToolUse
from llm_inference_api.worker.messages import Inquire, Lane
from llm_inference_api.worker.preparation_queue import PreparationQueue

REGEX = Constraint(Language.REGEX, "a", "regex")
TOOLS = ToolUse((Tool("f", "", NO_ARGUMENTS),))


def request(name: str, caller: str = "", constraint: Constraint | None = None) -> GenerationRequest:
    return GenerationRequest(name, "Hello", Sampling(0), caller=caller, constraint=constraint)


def inquiry(number: int, caller: str = "") -> Inquire:
    return Inquire(number, Tokenize("Hello", True, False), caller)


def filled(*messages: GenerationRequest | Inquire) -> PreparationQueue:
    requests = PreparationQueue(lambda _: None)
    for message in messages:
        requests.put(message)
    return requests


def order(requests: PreparationQueue, count: int, lane: Lane = Lane.PREPARING) -> list[str | int]:
    """Returns the ids of the lane's next items."""
    messages = (requests.get(lane).message for _ in range(count))
    return [message.inquiry_id if isinstance(message, Inquire) else message.id for message in messages]


def test_request_that_nobody_waits_for_is_not_prepared() -> None:
    """Callers who leave cost those behind them nothing: not the time of their constraints, for one."""
    skipped: list[str | int] = []
    requests = PreparationQueue(skipped.append)
    for name in ("left", "waits", "left too"):
        requests.put(request(name))
    for number in (1, 2):
        requests.put(inquiry(number))
    for key in ("left", "left too", "unknown", 2, 3):
        requests.cancel(key)
    assert requests.get().message == request("waits")
    assert requests.get().message == inquiry(1)
    assert skipped == ["left", "left too", 2]


def test_callers_take_turns() -> None:
    """One with many requests, or inquiries, delays another by one of them."""
    requests = filled(
        *(request(f"a{index}", "ann") for index in range(3)), inquiry(1, "ann"), request("b", "bob"), inquiry(2, "cid")
    )
    assert order(requests, 2) == ["a0", "b"]
    requests.put(request("b2", "bob"))
    assert order(requests, 5) == [2, "a1", "b2", "a2", 1]


@pytest.mark.parametrize("costly", [request("c", "ann", REGEX), GenerationRequest("c", "", Sampling(0), tools=TOOLS)])
def test_constraints_have_a_lane_of_their_own(costly: GenerationRequest) -> None:
    """What one takes to compile delays no request without any."""
    requests = filled(costly, request("plain"), inquiry(1))
    assert order(requests, 2) == ["plain", 1]
    assert order(requests, 1, Lane.COMPILING) == ["c"]


def test_caller_whose_last_constraint_was_refused_for_its_cost_comes_last() -> None:
    """Behind all who wait, until one of theirs is compiled."""
    names = [("a0", "ann"), ("a1", "ann"), ("b0", "bob"), ("b1", "bob")]
    for refused, expected in ((True, ["b0", "b1", "a0", "a1"]), (False, ["a0", "b0", "a1", "b1"])):
        requests = filled(*(request(name, caller, REGEX) for name, caller in names))
        requests.note_cost("ann", refused=True)
        requests.note_cost("ann", refused=refused)
        assert order(requests, 4, Lane.COMPILING) == expected


def test_cost_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute later the caller has turns again, and nothing is remembered of others."""
    requests = filled()
    requests.note_cost("ann", refused=True)
    later = time.monotonic() + 61
    monkeypatch.setattr(time, "monotonic", lambda: later)
    for name, caller in (("a", "ann"), ("b", "bob")):
        requests.put(request(name, caller, REGEX))
    assert order(requests, 2, Lane.COMPILING) == ["a", "b"]
    requests.note_cost("bob", refused=False)
    assert requests._costly == {}


def test_item_is_waited_for_and_says_when_it_came() -> None:
    """Its time in the queue counts from there."""
    requests, found = filled(), []
    waiting = threading.Thread(target=lambda: found.append(requests.get()))
    waiting.start()
    before = time.monotonic()
    requests.put(request("a"))
    waiting.join()
    assert found[0].message == request("a")
    assert before <= found[0].arrived_at <= time.monotonic()
