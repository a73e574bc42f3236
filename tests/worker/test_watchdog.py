"""What the watchdog makes of the messages between server and worker, on a clock of its own."""

from collections.abc import Callable
from typing import Any

import pytest

from llm_inference_api.errors import ComputationError
from llm_inference_api.requests.constraint import Constraint, Language
from llm_inference_api.requests.events import FinishReason
from llm_inference_api.requests.inquiry import Embed, Tokenize
from llm_inference_api.requests.model_info import ModelInfo
from llm_inference_api.requests.request import GenerationRequest, Sampling
from llm_inference_api.requests.step import Delta, Rejection, StepOutput
from llm_inference_api.worker.messages import (
    Abandon,
    Alive,
    Answered,
    Cancel,
    Compute,
    Inquire,
    Lane,
    LoadFailed,
    Loading,
    LogLine,
    Prepared,
    Ready,
    Submit,
)
from llm_inference_api.worker.watchdog import Watchdog
from tests.fakes.clock import FakeClock

BOUNDS = {**dict.fromkeys(Lane, 60.0), Lane.LOADING: 300.0}
STEP = StepOutput()


class Watch:
    """A watchdog, its clock, and what it found."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.found: list[str] = []
        timers: Any = self.clock
        self.dog = Watchdog(BOUNDS, self.found.append, timers)

    def passes(self, seconds: float) -> list[str]:
        self.clock.advance(seconds)
        return self.found


@pytest.fixture
def watch() -> Watch:
    return Watch()


def submit(name: str = "a") -> Submit:
    return Submit(GenerationRequest(name, "Hello", Sampling(0)))


def inquire(number: int = 1) -> Inquire:
    return Inquire(number, Tokenize("Hello", True, False))


def compute(number: int = 1) -> Compute:
    return Compute(number, Embed(()))


def ends(name: str = "a") -> StepOutput:
    return StepOutput((Delta(name, "", (), FinishReason.STOP),))


def rejects(name: str = "a") -> StepOutput:
    return StepOutput(rejections=(Rejection(name, ComputationError("no")),))


def start(watch: Watch) -> None:
    watch.dog.started()


def prepare(watch: Watch) -> None:
    watch.dog.sent(submit())


def compile_(watch: Watch) -> None:
    constraint = Constraint(Language.REGEX, "a", "regex")
    watch.dog.sent(Submit(GenerationRequest("c", "Hello", Sampling(0), constraint=constraint)))


def inspect(watch: Watch) -> None:
    watch.dog.sent(inquire())


def step(watch: Watch) -> None:
    watch.dog.sent(submit())
    watch.dog.received(Prepared("a"))


def embed(watch: Watch) -> None:
    watch.dog.sent(compute())


HANGS = [
    (start, 300.0, "the loading made no progress within 300 s"),
    (prepare, 60.0, "no request was prepared and no text tokenized within 60 s"),
    (compile_, 60.0, "no constraint was compiled within 60 s"),
    (inspect, 60.0, "no request was prepared and no text tokenized within 60 s"),
    (step, 60.0, "no step ended within 60 s"),
    (embed, 60.0, "no embedding was computed within 60 s"),
]


@pytest.mark.parametrize(("owe", "bound", "cause"), HANGS)
def test_silent_lane_is_found_and_named(watch: Watch, owe: Callable[[Watch], None], bound: float, cause: str) -> None:
    """A lane that owes something and says nothing is found when its bound is over, not before, and once."""
    owe(watch)
    assert watch.passes(bound - 0.1) == []
    assert watch.passes(0.2) == [cause]
    assert watch.passes(1000.0) == [cause]


LIFE = [
    (start, Loading(0.1)),
    (start, LogLine(20, "a line", "")),
    (prepare, Answered(7, ())),
    (compile_, Alive(Lane.COMPILING)),
    (step, STEP),
    (embed, Alive(Lane.EMBEDDINGS)),
]


@pytest.mark.parametrize(("owe", "message"), LIFE)
def test_lane_that_speaks_gets_another_interval(watch: Watch, owe: Callable[[Watch], None], message: Any) -> None:
    """Long work is no hang while the lane says that it goes on."""
    watch.dog.sent(inquire(7))
    owe(watch)
    for _ in range(20):
        watch.passes(50.0)
        watch.dog.received(message)
        watch.dog.received(Answered(7, ()))
        watch.dog.sent(inquire(7))
    assert watch.found == []


PAID = [
    (start, Ready(ModelInfo("", 0, 0, 0, 0, 0, 0, 0, False, ()))),
    (start, LoadFailed("no")),
    (inspect, Answered(1, ())),
    (step, ends()),
    (step, rejects()),
    (embed, Answered(1, ())),
]


@pytest.mark.parametrize(("owe", "message"), PAID)
def test_lane_that_owes_nothing_may_be_silent(watch: Watch, owe: Callable[[Watch], None], message: Any) -> None:
    """What was answered is owed no more, whoever has yet to read the answer; an idle worker has no timer."""
    owe(watch)
    watch.passes(10.0)
    watch.dog.received(message)
    assert watch.passes(1000.0) == []
    assert watch.clock.pending == []


def test_busy_lane_does_not_hide_a_hung_one(watch: Watch) -> None:
    """Steps go on beside an embedder that hangs: it is found in its time."""
    step(watch)
    embed(watch)
    for _ in range(59):
        watch.passes(1.0)
        watch.dog.received(STEP)
    assert watch.found == []
    watch.passes(1.5)
    assert watch.found == ["no embedding was computed within 60 s"]


def test_compiled_request_is_owed_by_the_engine_alone(watch: Watch) -> None:
    """It leaves the lane of constraints, whatever the other one prepares."""
    compile_(watch)
    watch.dog.received(Prepared("c"))
    for _ in range(3):
        watch.passes(50.0)
        watch.dog.received(STEP)
    watch.dog.received(ends("c"))
    assert watch.passes(1000.0) == []


def test_request_is_owed_by_the_engine_once_it_is_prepared(watch: Watch) -> None:
    """The preparer is let off, and the engine's time begins."""
    watch.dog.sent(submit())
    watch.passes(59.0)
    watch.dog.received(Prepared("a"))
    assert watch.passes(59.0) == []
    assert watch.passes(2.0) == ["no step ended within 60 s"]


def test_each_request_of_a_long_queue_has_its_own_time(watch: Watch) -> None:
    """Ten costly constraints, each within the bound, are no hang; the engine has nothing to do meanwhile."""
    for index in range(10):
        watch.dog.sent(submit(f"r{index}"))
    for index in range(10):
        watch.passes(50.0)
        watch.dog.received(Prepared(f"r{index}"))
        watch.dog.received(rejects(f"r{index}"))
    assert watch.passes(1000.0) == []


def test_lane_owes_what_is_left(watch: Watch) -> None:
    """One of two requests ends; the other one is still owed."""
    for name in ("a", "b"):
        watch.dog.sent(submit(name))
        watch.dog.received(Prepared(name))
    watch.dog.received(ends("a"))
    assert watch.passes(61.0) == ["no step ended within 60 s"]


def test_request_is_owed_until_all_its_answers_have_ended(watch: Watch) -> None:
    """One of two answers ends, and the engine hangs over the other; both end, and it owes nothing."""
    for name in ("a", "b"):
        watch.dog.sent(Submit(GenerationRequest(name, "Hello", Sampling(0), n=2)))
        watch.dog.received(Prepared(name))
        watch.dog.received(ends(name))
    watch.dog.received(ends("a"))
    assert watch.passes(61.0) == ["no step ended within 60 s"]
    watch.dog.received(ends("b"))
    watch.found.clear()
    assert watch.passes(120.0) == []


@pytest.mark.parametrize("owe", [step, prepare])
def test_callers_who_leave_a_hung_lane_early_do_not_hide_it(watch: Watch, owe: Callable[[Watch], None]) -> None:
    """With deadlines of 10 s nobody ever waits for the bound; the silence counts from the first one all the same."""
    owe(watch)
    for index in range(7):
        watch.passes(10.0)
        watch.dog.sent(Cancel("a" if index == 0 else f"r{index - 1}"))
        watch.dog.sent(submit(f"r{index}"))
        if owe is step:
            watch.dog.received(Prepared(f"r{index}"))
    assert len(watch.found) == 1
    assert watch.found[0].startswith("no step" if owe is step else "no request")


def test_abandoned_embeddings_are_owed_until_the_embedder_says_so(watch: Watch) -> None:
    """A caller who leaves does not let a hung embedder off."""
    embed(watch)
    watch.dog.sent(Abandon(1))
    assert watch.passes(61.0) == ["no embedding was computed within 60 s"]


def test_step_after_a_cancel_lets_the_engine_off(watch: Watch) -> None:
    """The step that counts the cancelled request is its last word."""
    step(watch)
    watch.dog.sent(Cancel("a"))
    watch.dog.received(STEP)
    assert watch.passes(1000.0) == []


@pytest.mark.parametrize("order", ["prepared", "counted"])
def test_request_cancelled_while_it_is_prepared_is_no_debt_of_the_engine(watch: Watch, order: str) -> None:
    """Whichever comes first of the preparer's word and the engine's, nothing is owed after both."""
    watch.dog.sent(submit())
    watch.dog.sent(Cancel("a"))
    words = [Prepared("a"), STEP]
    for word in words if order == "prepared" else reversed(words):
        watch.dog.received(word)
    assert watch.passes(1000.0) == []


def test_end_that_crosses_a_cancel_is_an_end(watch: Watch) -> None:
    """The worker ended the request before it heard of the cancel, and says nothing more."""
    step(watch)
    watch.dog.sent(Cancel("a"))
    watch.dog.received(ends())
    assert watch.passes(1000.0) == []


def test_lane_that_owes_again_has_a_whole_interval(watch: Watch) -> None:
    """A timer that an earlier request has left does not shorten the next one's time."""
    step(watch)
    watch.passes(10.0)
    watch.dog.received(ends())
    watch.passes(45.0)
    step(watch)
    assert watch.passes(59.0) == []
    assert watch.passes(2.0) == ["no step ended within 60 s"]


def test_pause_of_the_server_is_not_taken_for_a_hang(watch: Watch) -> None:
    """After a suspend of both, the worker gets another interval to speak; one that hangs is found then."""
    step(watch)
    watch.passes(10.0)
    watch.clock.stand_still(70.0)
    assert watch.found == []
    assert watch.passes(59.0) == []
    assert watch.passes(2.0) == ["no step ended within 60 s"]


@pytest.mark.parametrize("pause", [1.2, 50.0, 3600.0])
def test_pause_just_before_the_bound_is_not_taken_for_a_hang(watch: Watch, pause: float) -> None:
    """However long it lasts: the worker, stopped with the server, has no time to speak until both go on."""
    step(watch)
    watch.passes(59.4)
    watch.clock.stand_still(pause)
    assert watch.passes(0.4) == []
    watch.dog.received(STEP)
    assert watch.passes(59.0) == []


def test_pauses_do_not_hide_a_hang(watch: Watch) -> None:
    """A server that is held up for some tenths of a second every other second still finds a hung worker."""
    step(watch)
    for _ in range(60):
        watch.passes(1.6)
        watch.clock.stand_still(0.4)
    assert watch.found == ["no step ended within 60 s"]


def test_hung_lane_is_named(watch: Watch) -> None:
    """So that what the other lanes compute is not suspected."""
    step(watch)
    embed(watch)
    watch.passes(59.0)
    watch.dog.received(STEP)
    watch.passes(2.0)
    assert watch.dog.hung is Lane.EMBEDDINGS


def test_closed_watchdog_is_silent(watch: Watch) -> None:
    """A worker that is gone owes nothing."""
    for owe in (start, step, inspect, embed):
        owe(watch)
    watch.dog.close()
    assert watch.clock.pending == []
    assert watch.passes(1000.0) == []
