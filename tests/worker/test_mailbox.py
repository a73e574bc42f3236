import asyncio
import gc
import time
import weakref
from collections.abc import Coroutine
from typing import Any

import pytest

from llm_inference_api.errors import OverloadedError
from llm_inference_api.processes.running_time import running_time
from llm_inference_api.requests.events import CallPart, FinishReason, Progress, Stage, TokenLogprob, Usage
from llm_inference_api.requests.request import GenerationRequest, Sampling
from llm_inference_api.requests.step import Delta, StageEntry
from llm_inference_api.worker.mailbox import Mailbox


def mailbox(n: int = 1) -> Mailbox:
    return Mailbox(GenerationRequest("a", "hi", Sampling(0), n=n), {})


def end(text: str = "", index: int = 0) -> Delta:
    return Delta("a", text, (), FinishReason.STOP, Usage(1, 1, 0), index)


async def started(coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Returns the task once it waits."""
    task = asyncio.ensure_future(coroutine)
    await asyncio.sleep(0)
    assert not task.done()
    return task


async def test_reader_is_woken_by_the_next_delta() -> None:
    """Who waits gets a delta as soon as it is there."""
    box = mailbox()
    reading = await started(box.next(None))
    box.put(Delta("a", "x"))
    assert await reading == (Delta("a", "x"),)


async def test_late_reader_gets_one_joined_delta_for_each_answer() -> None:
    """Nothing is lost, and no answer's text stands in another's."""
    box = mailbox(2)
    for text, index in (("a", 0), ("x", 1), ("b", 0), ("y", 1)):
        box.put(Delta("a", text, answer=index))
    box.put(end("c"))
    first, second = await box.next(None)  # type: ignore[misc]
    assert (first.text, first.answer, first.finish_reason) == ("abc", 0, FinishReason.STOP)
    assert (second.text, second.answer, second.finish_reason) == ("xy", 1, None)


async def test_thoughts_and_calls_are_joined_too() -> None:
    """A late reader gets the beginning of each call, and the arguments that have arrived in one part."""
    box = mailbox()
    box.put(Delta("a", "", thought="h"))
    box.put(Delta("a", "x", thought="m", calls=(CallPart(0, "1", "f"), CallPart(0, arguments="{"))))
    box.put(Delta("a", "", calls=(CallPart(0, arguments="}"), CallPart(1, "2", "g"), CallPart(1, arguments="{}"))))
    (joined,) = await box.next(None)  # type: ignore[misc]
    assert (joined.thought, joined.text) == ("hm", "x")
    assert joined.calls == (
        CallPart(0, "1", "f"),
        CallPart(0, arguments="{}"),
        CallPart(1, "2", "g"),
        CallPart(1, arguments="{}"),
    )


async def test_late_reader_gets_the_log_probability_of_each_token() -> None:
    """In the order of the text that came with them."""
    box = mailbox()
    entries = [TokenLogprob(number, text.encode(), -float(number), ()) for number, text in enumerate("abc")]
    for entry in entries:
        box.put(Delta("a", entry.token_bytes.decode(), (entry,)))
    (joined,) = await box.next(None)  # type: ignore[misc]
    assert joined.text == "abc"
    assert list(joined.logprobs) == entries


async def test_silence_returns_where_the_request_stands() -> None:
    """After the interval, and as often as it passes."""
    box = mailbox()
    assert await box.next(0.001) == Progress(Stage.QUEUED)
    box.progress = Progress(Stage.PREFILL, 0, 10, 5)
    assert await box.next(0.001) == Progress(Stage.PREFILL, 0, 10, 5)


async def test_silence_is_counted_from_the_last_delta() -> None:
    """One timer serves all waits; it does not end a wait that began after it was set."""
    box = mailbox()
    reading = await started(box.next(0.05))
    box.put(Delta("a", "x"))
    assert await reading == (Delta("a", "x"),)
    time.sleep(0.03)  # noqa: ASYNC251 - the timer is nearer to its end, and no other task is to run
    begun = time.monotonic()
    assert await box.next(0.05) == Progress(Stage.QUEUED)
    assert time.monotonic() - begun >= 0.049


async def test_shorter_wait_ends_in_its_own_time() -> None:
    """Though the timer is set to the end of a longer one."""
    box = mailbox()
    reading = await started(box.next(600))
    box.put(Delta("a", "x"))
    await reading
    assert await box.next(0.001) == Progress(Stage.QUEUED)


async def test_closed_mailbox_leaves_no_timer() -> None:
    """An answer that has ended is not kept until the next progress would be due."""
    box = mailbox()
    reading = await started(box.next(600))
    box.put(end("x"))
    await reading
    kept = weakref.ref(box)
    box.close()
    del box, reading
    gc.collect()
    assert kept() is None


async def test_wait_for_a_slot_ends_with_the_first_answer_that_has_one() -> None:
    """The others may have to wait for the first ones, where the cache does not hold all at once."""
    box = mailbox(3)
    expired: list[bool] = []
    timer = running_time().call_later(0.0, lambda: expired.append(True))
    box.queue_until(timer)
    box.enter(StageEntry("a", Stage.QUEUED, 0.0))
    assert box.is_queued
    box.enter(StageEntry("a", Stage.PREFILL, 0.0, answer=1))
    assert not box.is_queued
    later = asyncio.Event()
    running_time().call_later(0.01, later.set)
    await later.wait()
    assert not expired


async def test_request_has_ended_when_its_last_answer_has() -> None:
    """One of two answers that ended leaves the request open."""
    box = mailbox(2)
    box.put(end(index=1))
    assert not box.ended
    box.put(end(index=0))
    assert box.ended
    assert box.is_whole


async def test_error_comes_after_the_deltas_before_it() -> None:
    """What arrived before the failure is still read; the failed request is no whole one."""
    box = mailbox()
    box.put(Delta("a", "x"))
    box.fail(OverloadedError("full", 1.0))
    assert (box.ended, box.is_whole) == (True, False)
    assert await box.next(None) == (Delta("a", "x"),)
    with pytest.raises(OverloadedError):
        await box.next(None)


async def test_failure_after_the_end_changes_nothing() -> None:
    """A worker that dies behind its last word costs this request nothing."""
    box = mailbox()
    box.put(end("x"))
    box.fail(OverloadedError("full", 1.0))
    assert box.is_whole
    assert await box.next(None) == (end("x"),)


async def test_failure_wakes_the_reader() -> None:
    """Who waits for a dead worker is told at once."""
    box = mailbox()
    reading = await started(box.next(None))
    box.fail(OverloadedError("full", 1.0))
    with pytest.raises(OverloadedError):
        await reading


async def test_patient_reader_is_woken_once() -> None:
    """Deltas do not wake who needs the whole answer only."""
    box = mailbox()
    waiting = await started(box.wait_ended())
    box.put(Delta("a", "x"))
    await asyncio.sleep(0)
    assert not waiting.done()
    box.put(end("y"))
    await waiting
    assert await box.next(None) == (end("xy"),)


async def test_stages_are_handed_over_once() -> None:
    """In order, and none twice."""
    box = mailbox()
    entries = [StageEntry("a", Stage.QUEUED, 1.0), StageEntry("a", Stage.PREFILL, 2.0)]
    for entry in entries:
        box.enter(entry)
    assert box.take_entries() == entries
    assert box.take_entries() == []


async def test_shared_error_keeps_no_readers_frames() -> None:
    """A worker's death is one error for all its requests; each reader raises a copy."""
    error = OverloadedError("full", 1.0)
    for box in (mailbox(), mailbox()):
        box.fail(error)
        with pytest.raises(OverloadedError, match="full"):
            await box.next(None)
    assert error.__traceback__ is None


async def test_progress_that_is_wanted_comes_at_once_and_before_the_text() -> None:
    """Each report once, in order; a request that does not want them gets the last one after the interval."""
    reports = [Progress(Stage.PREFILL, 0, 10, 5), Progress(Stage.PREFILL, 0, 10, 10)]
    box = Mailbox(GenerationRequest("a", "hi", Sampling(0), wants_progress=True), {})
    reading = await started(box.next(None))
    box.report(reports[0])
    assert await reading == reports[0]
    box.report(reports[1])
    box.put(Delta("a", "x"))
    assert await box.next(None) == reports[1]
    assert await box.next(None) == (Delta("a", "x"),)
    silent = mailbox()
    for report in reports:
        silent.report(report)
    silent.put(Delta("a", "x"))
    assert await silent.next(None) == (Delta("a", "x"),)
    assert await silent.next(0.001) == reports[1]
