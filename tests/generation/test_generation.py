"""A generation over a fake model: what its reader gets, and what is recorded of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import grpc
import pytest

from llm_inference_api.errors import DeadlineError, ModelNotFoundError, OverloadedError, UnavailableError
from llm_inference_api.generation.generation import Generation, Generations
from llm_inference_api.generation.record import Records
from llm_inference_api.generation.several import Several
from llm_inference_api.generation.timeouts import Timeouts
from llm_inference_api.requests.events import (
    CallPart,
    End,
    Event,
    FinishReason,
    Progress,
    Stage,
    Text,
    Thought,
    Times,
    Usage,
)
from llm_inference_api.requests.request import GenerationRequest, Sampling
from llm_inference_api.requests.step import Delta, StageEntry
from llm_inference_api.rpc.call import Call
from tests.fakes.model import Again, FakeContext, FakeModel, FakeRegistry, Recorded, end


class Door:
    """Opens generations of one fake model, and has what was recorded."""

    def __init__(self, model: FakeModel, timeout: float = 10.0, slots: int = 1) -> None:
        self.model = model
        self.metrics, self.span = Recorded(), Recorded()
        context: Any = FakeContext()
        span: Any = self.span
        self.call = Call("/Chat", "r", "peer", context, span, caller="somebody")
        records: Any = Records(self.metrics)  # type: ignore[arg-type]
        registry: Any = FakeRegistry(model)
        self.generations = Generations(registry, Timeouts(timeout, timeout, 1.0), records, slots)

    @asynccontextmanager
    async def open(self, n: int = 1, model: str = "") -> AsyncIterator[Generation]:
        request = GenerationRequest("a", "hi", Sampling(4), model=model, n=n)
        async with self.generations.open(request, self.call, streamed=True) as generation:
            yield generation

    def generations_of(
        self, requests: list[GenerationRequest], *, streamed: bool
    ) -> AbstractAsyncContextManager[Several]:
        return self.generations.open_several(requests, self.call, streamed=streamed)

    async def events(self, n: int = 1) -> list[Event]:
        async with self.open(n) as generation:
            return [event async for event in generation]


async def test_request_is_of_the_session_that_the_metadata_names() -> None:
    """It stays with the replica that has the conversation."""
    door = Door(FakeModel([(end("y"),)]))
    door.call.context.metadata = (("x-session-id", "s"),)  # type: ignore[attr-defined]
    async with door.open() as generation:
        assert generation.request.session == "s"


async def test_events_are_the_answers_texts_and_its_end() -> None:
    """The end has the usage, and is the last."""
    model = FakeModel([(Delta("a", "x"),), (end("y"),)])
    assert await Door(model).events() == [Text("x"), Text("y"), End(FinishReason.STOP, 0, Usage(10, 2, 0))]


async def test_answer_with_calls_ends_with_them() -> None:
    """Thoughts come first, and the end says that the caller has to act."""
    call = CallPart(0, "1", "f", "{}")
    model = FakeModel([(Delta("a", "x", thought="hm"),), (end()._replace(calls=(call,)),)])
    *events, last = await Door(model).events()
    assert events == [Thought("hm"), Text("x"), call]
    assert isinstance(last, End)
    assert last.reason is FinishReason.TOOL_CALLS


async def test_model_is_asked_once_in_its_callers_name() -> None:
    """However many answers are wanted, they are one request, with the id of the model that answers."""
    model = FakeModel([(end("x"), end("y", 1), end("z", 2))])
    await Door(model).events(3)
    (request,) = model.requests
    assert (request.n, request.model, request.caller) == (3, "tiny", "somebody")


async def test_progress_comes_before_the_text_and_never_after_the_end() -> None:
    """Where the request stands is an event like others; behind the last end there is none."""
    model = FakeModel([Progress(Stage.LOADING), Progress(Stage.QUEUED, 2), (end("x"),), Progress(Stage.DECODE)])
    events = await Door(model).events()
    assert events[:2] == [Progress(Stage.LOADING), Progress(Stage.QUEUED, 2)]
    assert isinstance(events[-1], End)
    assert len(events) == 4


async def test_several_answers_keep_their_texts_and_ends_apart() -> None:
    """Each event says whose it is; the usage stands at the last end, the prompt counted once."""
    model = FakeModel(
        [
            (Delta("a", "x"), Delta("a", "X", answer=1)),
            (end("Y", 1, cost=Usage(10, 3, 8)),),
            (end("y", 0, FinishReason.LENGTH, Usage(10, 4, 2)),),
        ]
    )
    events = await Door(model).events(2)
    texts = {index: "".join(e.text for e in events if isinstance(e, Text) and e.answer == index) for index in (0, 1)}
    assert texts == {0: "xy", 1: "XY"}
    assert [event for event in events if isinstance(event, End)] == [
        End(FinishReason.STOP, 1, None),
        End(FinishReason.LENGTH, 0, Usage(10, 7, 2)),
    ]


async def test_whole_answers_are_put_together_by_index() -> None:
    """Whole answers stand in the order of their indices, whichever ended first."""
    model = FakeModel([(Delta("a", "X", answer=1),), (end("Y", 1),), (end("x"),)])
    async with Door(model).open(2) as generation:
        answers, usage = await generation.whole()
    assert [(answer.index, answer.text, answer.reason) for answer in answers] == [
        (0, "x", FinishReason.STOP),
        (1, "XY", FinishReason.STOP),
    ]
    assert usage == Usage(10, 4, 0)


async def test_leaving_the_block_cancels_the_request() -> None:
    """A reader that goes in the middle leaves nothing running."""
    model = FakeModel([(Delta("a", "x"),)])
    door = Door(model)
    async with door.open() as generation:
        await anext(generation)
    assert model.streams[0].closed == 1


async def test_cancelled_reader_is_recorded_once_as_cancelled() -> None:
    """The request is closed, and its failure is told to metrics and span exactly once."""
    model = FakeModel([(Delta("a", "x"),)])
    door = Door(model)
    reading = asyncio.ensure_future(door.events())
    await model.opened.wait()
    await model.streams[0].waiting.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert model.streams[0].closed == 1
    assert [told for told in door.metrics.told if told[0] == "failed"] == [("failed", "tiny", "CANCELLED")]
    assert door.span.names().count("failed") == 1
    assert "generated" not in door.metrics.names()


async def test_end_is_recorded_once_for_log_metrics_and_span() -> None:
    """With the tokens of all answers, and no failure beside it."""
    entries = [
        StageEntry("a", Stage.QUEUED, 1.0),
        StageEntry("a", Stage.PREFILL, 1.5),
        StageEntry("a", Stage.DECODE, 2.5),
    ]
    door = Door(FakeModel([(Delta("a", "x"), Delta("a", "y", answer=1)), (end(), end("", 1))], entries))
    await door.events(2)
    assert door.metrics.names() == ["first_token", "generated"]
    assert door.span.names() == ["entered"] * 3 + ["first_text", "ended", "closed"]
    facts = door.call.facts
    assert (facts["model"], facts["answer_id"], facts["output_tokens"], facts["finish_reason"]) == (
        "tiny",
        "a",
        4,
        "STOP",
    )
    assert (facts["queue_ms"], facts["prefill_ms"]) == (500.0, 1000.0)


ENTRIES = [
    StageEntry("a", Stage.QUEUED, 1.0),
    StageEntry("a", Stage.PREFILL, 1.5),
    StageEntry("a", Stage.DECODE, 2.5),
    StageEntry("a", Stage.QUEUED, 1.0, 1),
    StageEntry("a", Stage.PREFILL, 3.5, 1),
    StageEntry("a", Stage.DECODE, 4.5, 1),
]


async def test_usage_has_the_times_where_they_are_wanted() -> None:
    """From the first answer's stages to the last answer's end."""
    door = Door(FakeModel([(end()._replace(ended_at=5.0), end("", 1)._replace(ended_at=6.0))], ENTRIES))
    request = GenerationRequest("a", "hi", Sampling(4), n=2, wants_times=True)
    async with door.generations.open(request, door.call, streamed=True) as generation:
        _, usage = await generation.whole()
    assert usage.times == Times(queued=1.0, started=1.5, first_token=2.5, ended=6.0)


async def test_several_prompts_are_one_stream() -> None:
    """Answers are numbered through, the last end has the usage of all, and each request its own end elsewhere."""
    door = Door(FakeModel([(Delta("a", "x"), Delta("a", "y", answer=1)), (end("1"), end("2", 1))]))
    requests = [GenerationRequest(f"a-{place}", "hi", Sampling(4), n=2) for place in range(3)]
    async with door.generations.open_several(requests, door.call, streamed=True) as several:
        events = [event async for event in several]
    texts = ["", "", "", "", "", ""]
    for event in events:
        if isinstance(event, Text):
            texts[event.answer] += event.text
    assert texts == ["x1", "y2"] * 3
    ends = [event for event in events if isinstance(event, End)]
    assert sorted(event.answer for event in ends) == [0, 1, 2, 3, 4, 5]
    assert [event.usage for event in ends[:-1]] == [None] * 5
    assert ends[-1].usage == Usage(30, 12, 0)
    assert door.metrics.names().count("generated") == 3
    assert door.call.facts["output_tokens"] == 12


async def test_several_prompts_are_answered_in_their_order() -> None:
    """Whichever ends first."""
    door = Door(FakeModel([(end("x"),)]))
    requests = [GenerationRequest(f"a-{place}", "hi", Sampling(4)) for place in range(3)]
    async with door.generations.open_several(requests, door.call, streamed=False) as several:
        answers, usage = await several.whole()
    assert [(answer.index, answer.text) for answer in answers] == [(0, "x"), (1, "x"), (2, "x")]
    assert usage == Usage(30, 6, 0)


async def test_only_as_many_prompts_are_open_as_the_model_computes_at_once() -> None:
    """One caller's list does not fill the queue; leaving the block ends what is open and opens no more."""
    model = FakeModel([(Delta("a", "x"),)])  # Without an end.
    door = Door(model, slots=4)
    requests = [GenerationRequest(f"a-{place}", "hi", Sampling(4), n=2) for place in range(5)]
    async with door.generations.open_several(requests, door.call, streamed=True) as several:
        assert [await anext(several), await anext(several)] == [Text("x"), Text("x", 2)]
        for stream in model.streams:
            await stream.waiting.wait()
        assert len(model.requests) == 2
    assert [stream.closed for stream in model.streams] == [1, 1]


@pytest.mark.parametrize("streamed", [True, False])
async def test_first_error_of_several_prompts_ends_all(*, streamed: bool) -> None:
    """Their caller reads it; nothing stays open."""
    model = FakeModel([OverloadedError("full", 1.0)])
    requests = [GenerationRequest(f"a-{place}", "hi", Sampling(4)) for place in range(3)]

    async def read() -> None:
        async with Door(model).generations_of(requests, streamed=streamed) as several:
            await (anext(several) if streamed else several.whole())

    with pytest.raises(OverloadedError):
        await read()
    assert all(stream.closed for stream in model.streams)


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (OverloadedError("full", 1.0), "RESOURCE_EXHAUSTED", "overloaded"),
        (UnavailableError("X", "x"), "UNAVAILABLE", None),
    ],
)
async def test_failure_is_raised_after_what_came_and_recorded_once(error: Any, code: str, reason: str | None) -> None:
    """Its reader has read what came before; refusals are counted by their reason."""
    door = Door(FakeModel([(Delta("a", "x"),), error]))
    seen = []

    async def read() -> None:
        async with door.open() as generation:
            async for event in generation:
                seen.append(event)  # noqa: PERF401 - it raises

    with pytest.raises(type(error)):
        await read()
    assert seen == [Text("x")]
    expected = [("first_token",), ("failed", "tiny", code), *([("rejected", "tiny", reason)] if reason else [])]
    assert [told[: len(want)] for told, want in zip(door.metrics.told, expected, strict=True)] == expected


async def test_request_that_is_run_again_has_the_second_attempts_answer() -> None:
    """Nothing of what the lost attempt had said stays, in text or usage."""
    model = FakeModel([(Delta("a", "x"), end("lost", 1)), Again(), (end("y"), end("z", 1))])
    async with Door(model).open(2) as generation:
        answers, usage = await generation.whole()
    assert [answer.text for answer in answers] == ["y", "z"]
    assert usage == Usage(10, 4, 0)


async def test_request_may_be_run_again_until_its_reader_has_text() -> None:
    """Progress does not count, and a whole answer is not sent before its end."""
    model = FakeModel([Progress(Stage.QUEUED), (Delta("a", "x"),), (end("y"),)])
    async with Door(model).open() as generation:
        (stream,) = model.streams
        assert not stream.is_sent_when_read
        await anext(generation)
        assert not stream.is_sent
        await anext(generation)
        assert stream.is_sent
    async with Door(model).open() as generation:
        await generation.whole()
        assert not model.streams[-1].is_sent


async def test_request_that_takes_too_long_ends_with_the_services_limit() -> None:
    """Without a caller's deadline, the service's own time ends it."""
    model = FakeModel()
    door = Door(model, timeout=0.01)
    with pytest.raises(DeadlineError, match=r"longer than 0\.01 s"):
        await door.events()
    assert model.streams[0].closed == 1
    assert ("failed", "tiny", grpc.StatusCode.DEADLINE_EXCEEDED.name) in door.metrics.told


async def test_unknown_model_is_refused_before_anything_is_recorded() -> None:
    """No metric bears a name that callers make up."""
    door = Door(FakeModel())
    with pytest.raises(ModelNotFoundError):
        async with door.open(model="nobody's"):
            pass
    assert door.metrics.told == []


async def test_call_in_the_background_is_not_timed() -> None:
    """Its request says so to whoever computes it; its tokens are counted, but the times are those of others alone."""
    door = Door(FakeModel([(end("Hi"),)]))
    door.call.is_background = True
    await door.events()
    assert door.model.requests[0].is_background
    names = door.metrics.names()
    assert names.count("generated_in_background") == 1
    assert not {"first_token", "generated"} & set(names)
