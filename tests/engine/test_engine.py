from collections.abc import Sequence as Rows
from dataclasses import dataclass, field

import pytest

from llm_inference_api.engine.backend import Row
from llm_inference_api.engine.engine import Engine
from llm_inference_api.engine.output import OutputText
from llm_inference_api.engine.prefix_cache import PrefixCache
from llm_inference_api.engine.prefix_store import BLOCK, PrefixStore
from llm_inference_api.engine.scheduler import Scheduler
from llm_inference_api.engine.sequence import Sequence
from llm_inference_api.engine.step_budget import StepBudget
from llm_inference_api.errors import ComputationError, UnavailableError
from llm_inference_api.requests.adapters import Adapter, Adapters
from llm_inference_api.requests.events import FinishReason, Stage, Usage
from llm_inference_api.requests.request import GenerationRequest, Sampling, Stopping
from llm_inference_api.requests.step import Delta, StepOutput
from tests.fakes.backend import END, FakeBackend, FakeSampler, FakeState


@dataclass
class Bench:
    """An engine over a fake backend, with a clock that tests move."""

    backend: FakeBackend = field(default_factory=FakeBackend)
    now: float = 0.0
    slots: int = 4
    store: PrefixStore | None = None
    budget: StepBudget = field(default_factory=lambda: StepBudget(512, 4))

    def __post_init__(self) -> None:
        scheduler = Scheduler(PrefixCache(seats=8, cells=1000), self.slots, store=self.store)
        self.engine = Engine(self.backend, scheduler, self.budget, clock=lambda: self.now)

    def submit(
        self,
        name: str,
        tokens: list[int],
        stopping: Stopping | None = None,
        *,
        wants_progress: bool = False,
        adapters: Adapters = (),
        is_background: bool = False,
        **sampling: int,
    ) -> None:
        stopping = stopping or Stopping()
        request = GenerationRequest(
            name,
            "",
            Sampling(seed=0, **sampling),
            stopping,
            wants_progress=wants_progress,
            adapters=adapters,
            is_background=is_background,
        )
        sampler = FakeSampler(self.backend, tokens)
        output = OutputText(stopping.stop)
        self.engine.submit(Sequence(request, tokens, stopping.max_tokens or 4, output, sampler, self.now))

    def run(self) -> list[StepOutput]:
        outputs = []
        while self.engine.busy:
            outputs.append(self.engine.step())
            self.now += 0.1
        return outputs


def test_rows_are_computed_with_their_requests_adapters() -> None:
    """Also after a step of others."""
    bench = Bench()
    bench.submit("a", [10, 11], adapters=(Adapter("a"),))
    bench.submit("plain", [20, 21])
    bench.run()
    forwards = zip(bench.backend.forwards, bench.backend.adapted, strict=True)
    with_adapters = {(row.token // 10, adapters) for rows, adapters in forwards for row in rows}
    assert with_adapters == {(1, (Adapter("a"),)), (2, ())}


class NotedBudget(StepBudget):
    """Notes the rows and the keys of the steps that it is told of."""

    def __init__(self) -> None:
        super().__init__(512, 4)
        self.noted: list[tuple[int, int]] = []

    def observe(self, rows: int, keys: int, seconds: float) -> None:
        self.noted.append((rows, keys))
        super().observe(rows, keys, seconds)


def test_steps_are_known_by_their_rows_and_the_keys_that_these_attend_to() -> None:
    budget = NotedBudget()
    bench = Bench(budget=budget)
    bench.submit("a", [10, 11, 12])
    bench.submit("b", [20, 21])
    bench.run()
    assert budget.noted == [(5, 0 + 1 + 2 + 0 + 1), (2, 3 + 2), (2, 4 + 3), (2, 5 + 4)]


def deltas(outputs: list[StepOutput], name: str) -> list[Delta]:
    return [delta for output in outputs for delta in output.deltas if delta.request_id == name]


def text(outputs: list[StepOutput], name: str) -> str:
    return "".join(delta.text for delta in deltas(outputs, name))


def test_answer_ends_at_max_tokens() -> None:
    """The last delta says LENGTH and what the request cost."""
    bench = Bench()
    bench.submit("a", [10, 11])
    outputs = bench.run()
    assert text(outputs, "a") == "12 13 14 15 "
    last = deltas(outputs, "a")[-1]
    assert (last.finish_reason, last.usage) == (FinishReason.LENGTH, Usage(2, 4, 0))


def test_answer_ends_at_the_end_token() -> None:
    """The end token ends the answer, is counted, and has no text."""
    bench = Bench()
    bench.backend.script = {12: END}
    bench.submit("a", [10, 11])
    last = deltas(bench.run(), "a")[-1]
    assert (last.text, last.finish_reason, last.usage) == ("", FinishReason.STOP, Usage(2, 2, 0))


def test_ignore_eos_goes_on() -> None:
    """With ignore_eos the end token is a token like others."""
    bench = Bench()
    bench.backend.script = {12: END}
    bench.submit("a", [10, 11], Stopping(max_tokens=4, ignore_eos=True))
    assert text(bench.run(), "a") == "12 0 1 2 "


def test_stop_string_ends_the_answer_without_being_sent() -> None:
    """A stop string says STOP, and neither it nor what follows is sent."""
    bench = Bench()
    bench.submit("a", [10], Stopping(max_tokens=9, stop=("2 13",)))
    outputs = bench.run()
    assert text(outputs, "a") == "11 1"
    assert deltas(outputs, "a")[-1].finish_reason is FinishReason.STOP


def test_sequences_share_steps() -> None:
    """Two requests move in the same forwards, each with its own text."""
    bench = Bench()
    bench.submit("a", [10])
    bench.submit("b", [50, 51])
    outputs = bench.run()
    assert (text(outputs, "a"), text(outputs, "b")) == ("11 12 13 14 ", "52 53 54 55 ")
    assert len(bench.backend.forwards) == 4


def test_logprobs_are_those_of_the_tokens_of_the_text() -> None:
    """There is none of the tokens of a stop string, nor of the end token."""
    bench = Bench()
    bench.backend.script = {13: END}
    bench.submit("a", [10], Stopping(max_tokens=9, stop=("13 14",)), logprobs=0)
    tokens = [entry.token_id for delta in deltas(bench.run(), "a") for entry in delta.logprobs]
    assert tokens == [11, 12, 13]


def test_cancelled_request_is_gone_before_the_next_step() -> None:
    """A cancelled request has no more rows, and the step says in which stage it was."""
    bench = Bench()
    bench.submit("a", [10])
    bench.submit("b", [50])
    bench.engine.step()
    bench.engine.cancel("a")
    output = bench.engine.step()
    assert [delta.request_id for delta in output.deltas] == ["b"]
    assert output.stats.cancelled == (Stage.DECODE,)
    assert output.stats.running == 1
    assert bench.backend.closed_samplers == 1


@pytest.mark.parametrize(
    ("prompt_length", "others", "stage"), [(1, 4, Stage.QUEUED), (200, 0, Stage.PREFILL), (1, 0, Stage.DECODE)]
)
def test_cancel_reports_the_stage(prompt_length: int, others: int, stage: Stage) -> None:
    """A request can be cancelled in the queue, in its prompt and in its answer."""
    bench = Bench()
    for index in range(others):
        bench.submit(f"other {index}", [500 + 10 * index])
    bench.submit("a", list(range(100, 100 + prompt_length)))
    bench.engine.step()
    bench.engine.cancel("a")
    assert bench.engine.step().stats.cancelled == (stage,)


def test_cancel_of_an_ended_request_does_nothing() -> None:
    """A cancel that crosses the last delta is ignored."""
    bench = Bench()
    bench.submit("a", [10])
    bench.run()
    bench.engine.cancel("a")
    assert not bench.engine.busy


def test_failed_forward_ends_the_running_requests_only() -> None:
    """What ran is lost and told so; what waits runs next, with an empty cache."""
    bench = Bench(slots=1)
    bench.submit("a", [10])
    bench.engine.step()
    bench.submit("b", [50])
    bench.backend.fail_next = True
    (rejection,) = bench.engine.step().rejections
    assert (rejection.request_id, type(rejection.error)) == ("a", UnavailableError)
    assert text(bench.run(), "b") == "51 52 53 54 "


def test_scores_that_are_no_numbers_end_that_request_only() -> None:
    """A request whose scores cannot be sampled fails; the others go on."""
    bench = Bench()
    bench.backend.script = {10: -1}
    bench.submit("a", [10])
    bench.submit("b", [50])
    outputs = bench.run()
    assert isinstance(outputs[0].rejections[0].error, ComputationError)
    assert text(outputs, "b") == "51 52 53 54 "


def test_figures_add_up() -> None:
    """The steps' figures count every prompt token once, computed or cached, and every generated one."""
    bench = Bench()
    bench.submit("a", list(range(100, 180)))
    outputs = bench.run()
    bench.submit("b", [*range(100, 170), 5, 6])
    outputs += bench.run()
    assert sum(output.stats.prompt_tokens for output in outputs) == 80 + 2
    assert sum(output.stats.cached_tokens for output in outputs) == 70
    assert sum(output.stats.completion_tokens for output in outputs) == 8
    assert outputs[-1].stats.kv_used == 0


def test_progress_is_reported_at_an_interval() -> None:
    """Waiting and prefilling requests are reported, but not in every step."""
    bench = Bench(slots=1)
    bench.submit("long", list(range(100, 300)))
    bench.submit("waiting", [5])
    first, second = bench.engine.step(), bench.engine.step()
    assert [(name, progress.stage) for name, progress in first.progress] == [
        ("waiting", Stage.QUEUED),
        ("long", Stage.PREFILL),
    ]
    assert second.progress == ()


def test_progress_that_is_wanted_is_reported_at_admission_and_in_every_step() -> None:
    """What was reused before the first step, then up to the step that completes the prompt, with the time since."""
    bench = Bench()
    bench.submit("first", list(range(100, 140)))
    bench.run()
    bench.submit("wanted", list(range(100, 740)), wants_progress=True)
    reports = []
    while bench.engine.busy:
        bench.now += 0.25
        reports += [progress for name, progress in bench.engine.step().progress if name == "wanted"]
    assert [report[:5] for report in reports] == [
        (Stage.PREFILL, 0, 640, 43, 43),
        (Stage.PREFILL, 0, 640, 555, 43),
        (Stage.PREFILL, 0, 640, 640, 43),
    ]
    assert [report.seconds for report in reports] == [0.0, 0.0, 0.25]


def test_last_delta_says_the_limit_and_when_it_was() -> None:
    """Callers learn what their max_tokens came to; times are the clock's."""
    bench = Bench()
    bench.submit("a", [10, 11])
    bench.now = 7.0
    *others, last = deltas([bench.engine.step() for _ in range(4)], "a")
    assert (last.max_tokens, last.ended_at) == (4, 7.0)
    assert {(delta.max_tokens, delta.ended_at) for delta in others} == {(0, 0.0)}


def test_sequence_without_its_mask_delays_no_other() -> None:
    """Others get their tokens while a mask is computed; the sequence goes on where it was once the mask is there."""
    bench = Bench()
    bench.backend.late_after.add(11)
    bench.submit("slow", [10, 11])
    bench.submit("other", [20, 21])
    outputs = [bench.engine.step() for _ in range(3)]
    assert (text(outputs, "slow"), text(outputs, "other")) == ("", "22 23 24 ")
    bench.backend.late_after.clear()
    outputs += bench.run()
    assert (text(outputs, "slow"), text(outputs, "other")) == ("12 13 14 15 ", "22 23 24 25 ")


def test_mask_is_waited_for_where_nothing_else_is_to_do() -> None:
    """A step without other work takes the time that the mask takes, instead of being made again and again."""
    bench = Bench(FakeBackend(late_after=set(range(100))))
    bench.submit("a", [10, 11])
    outputs = bench.run()
    assert text(outputs, "a") == "12 13 14 15 "
    assert len(outputs) == 4


def test_cancelled_sequence_is_waited_for_no_more() -> None:
    """A sequence that is cancelled while its mask is computed leaves nothing behind."""
    bench = Bench(FakeBackend(late_after=set(range(100))))
    bench.submit("a", [10, 11])
    bench.submit("b", [20, 21])
    bench.engine.step()
    bench.engine.cancel("b")
    outputs = bench.run()
    assert text(outputs, "b") == ""
    assert deltas(outputs, "a")[-1].finish_reason is FinishReason.LENGTH
    assert bench.backend.closed_samplers == 2


def test_step_says_when_requests_came_to_their_stages() -> None:
    """Queue, prompt and answer are entered once, at the times at which that happened."""
    bench = Bench(slots=1)
    bench.submit("a", [10, 11], Stopping(max_tokens=2))
    bench.submit("b", [20], Stopping(max_tokens=1))
    entries = [entry for output in bench.run() for entry in output.entries]
    assert [(entry.stage, entry.at) for entry in entries if entry.request_id == "a"] == [
        (Stage.QUEUED, 0.0),
        (Stage.PREFILL, 0.0),
        (Stage.DECODE, 0.0),
    ]
    assert [(entry.stage, entry.at) for entry in entries if entry.request_id == "b"] == [
        (Stage.QUEUED, 0.0),
        (Stage.PREFILL, pytest.approx(0.2)),
        (Stage.DECODE, pytest.approx(0.2)),
    ]


def test_step_says_how_long_the_oldest_request_waits() -> None:
    """The first in the queue has waited longest; an empty queue is no wait."""
    bench = Bench(slots=1)
    bench.submit("a", [10], Stopping(max_tokens=2))
    bench.submit("b", [20], Stopping(max_tokens=1))
    bench.now = 3.0
    bench.submit("c", [30], Stopping(max_tokens=1))
    waits = [output.stats.oldest_waiting for output in bench.run()]
    assert waits[0] == 3.0
    assert waits[-1] == 0.0


def submit_answers(bench: Bench, name: str, prompts: list[list[int]]) -> None:
    """Puts a request with an answer for each prompt into the queue; in the product the prompts are the same."""
    request = GenerationRequest(name, "", Sampling(seed=0), Stopping(), n=len(prompts))
    for index, tokens in enumerate(prompts):
        sampler = FakeSampler(bench.backend, tokens)
        bench.engine.submit(Sequence(request, tokens, 4, OutputText(()), sampler, bench.now, index))


def test_answers_of_one_request_are_told_apart() -> None:
    """Each delta says whose it is, and each answer has its own end."""
    bench = Bench()
    submit_answers(bench, "a", [[10], [20]])
    found = deltas(bench.run(), "a")
    texts = ["".join(delta.text for delta in found if delta.answer == answer) for answer in (0, 1)]
    assert texts == ["11 12 13 14 ", "21 22 23 24 "]
    assert sorted(delta.answer for delta in found if delta.finish_reason) == [0, 1]


def test_failure_of_one_answer_ends_the_whole_request_once() -> None:
    """A token that cannot be chosen in one answer ends its siblings too, in whichever order they are sampled."""
    bench = Bench()
    bench.backend.script = {10: -1}
    submit_answers(bench, "a", [[20], [10], [30]])
    outputs = bench.run()
    assert [rejection.request_id for output in outputs for rejection in output.rejections] == ["a"]
    assert not any(delta.finish_reason for delta in deltas(outputs, "a"))
    assert bench.backend.closed_samplers == 3
    assert len(bench.backend.forwards) == 1


def test_cancel_frees_all_answers_of_a_request() -> None:
    """Running and waiting ones; another request is not touched."""
    bench = Bench(slots=2)
    submit_answers(bench, "a", [[10], [20], [30]])
    bench.submit("b", [40])
    bench.engine.step()
    bench.engine.cancel("a")
    outputs = bench.run()
    assert sorted(outputs[0].stats.cancelled, key=lambda stage: stage.value) == [
        Stage.DECODE,
        Stage.DECODE,
        Stage.QUEUED,
    ]
    assert deltas(outputs, "a") == []
    assert text(outputs, "b") == "41 42 43 44 "


@dataclass
class SlowBackend(FakeBackend):
    """Moves the clock of its bench: by `SECONDS_OF_A_ROW` for each row, and by `SECONDS_OF_A_SAVE` for each save."""

    bench: Bench | None = None

    def forward(self, rows: Rows[Row]) -> None:
        super().forward(rows)
        self._take(SECONDS_OF_A_ROW * len(rows))

    def save(self, seat: int, start: int, end: int, cuts: Rows[int] = ()) -> FakeState:
        self._take(SECONDS_OF_A_SAVE)
        return super().save(seat, start, end)

    def _take(self, seconds: float) -> None:
        assert self.bench is not None
        self.bench.now += seconds


SECONDS_OF_A_ROW = 1 / 128
SECONDS_OF_A_SAVE = 1.0


def slow_bench() -> Bench:
    backend = SlowBackend()
    backend.bench = Bench(backend, store=PrefixStore(1 << 20))
    return backend.bench


def test_prompt_takes_larger_steps_alone_than_beside_a_running_answer() -> None:
    """Whose next token waits for the step."""
    bench = slow_bench()
    bench.submit("alone", list(range(10, 500)))
    bench.run()
    alone = max(len(rows) for rows in bench.backend.forwards)
    bench.backend.forwards.clear()
    bench.submit("running", [1], Stopping(max_tokens=100))
    for _ in range(3):
        bench.engine.step()
    bench.submit("beside", list(range(500, 900)))
    bench.run()
    beside = max(len(rows) for rows in bench.backend.forwards)
    assert (beside, alone) == (16, 128)


@pytest.mark.parametrize(("seconds", "saved"), [(0.0, 1), (2.5, 3), (100.0, 5)])
def test_prefixes_of_ended_requests_go_into_the_store_for_a_while(seconds: float, saved: int) -> None:
    """At least one block at a time; a caller without a limit calls until nothing is left."""
    bench = slow_bench()
    bench.submit("a", list(range(10, 300)))
    bench.run()
    assert bench.store is not None
    left = bench.engine.save_some(seconds)
    assert (bench.store.tokens, left) == (min(saved * BLOCK, 293), saved < 5)
    while bench.engine.save_some():
        pass
    assert bench.store.tokens == 293
