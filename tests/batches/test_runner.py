"""From state to state, across restarts."""

from pathlib import Path

import pytest

from llm_inference_api.batches import runner as runner_module
from llm_inference_api.batches.files import Bounds
from llm_inference_api.batches.records import BatchJob, Line, Status, Tokens
from llm_inference_api.errors import OverloadedError, UnavailableError
from tests.fakes.batches import (
    FakeWire,
    content,
    created,
    ended,
    lines_of,
    open_store,
    requests,
    running,
    until,
)


async def test_batch_is_computed_to_its_end(tmp_path: Path) -> None:
    """Answers are in the order of the lines, failures in a file of their own, and all is counted."""
    async with running(tmp_path, FakeWire()) as (store, runner):
        lines = lines_of('{"id":"r0"}\n', "\n", '{"id":"bad"}\n', '{"id":"r2"}')
        batch = await created(store, lines)
        assert batch.status is Status.VALIDATING
        runner.run(batch)
        batch = await ended(store, batch)
        assert (batch.status, batch.total, batch.completed, batch.failed) == (Status.COMPLETED, 3, 2, 1)
        assert (batch.model, batch.tokens) == ("m", Tokens(input=6, output=9))
        assert await content(store, batch, batch.output_file) == "r0\nr2\n"
        assert await content(store, batch, batch.error_file) == "bad\n"
        assert list(batch.times) == [Status.IN_PROGRESS, Status.FINALIZING, Status.COMPLETED]


async def test_file_without_answers_is_none(tmp_path: Path) -> None:
    """Where nothing has failed there is no file with errors."""
    async with running(tmp_path, FakeWire()) as (store, runner):
        batch = await created(store, requests(1))
        runner.run(batch)
        assert (await ended(store, batch)).error_file is None


async def test_invalid_line_fails_the_batch_before_any_is_computed(tmp_path: Path) -> None:
    """Each problem says in which line it is."""
    wire = FakeWire()
    async with running(tmp_path, wire) as (store, runner):
        batch = await created(store, lines_of('{"id":"a"}\n', "nonsense\n", '{"id":"a"}\n'))
        runner.run(batch)
        batch = await ended(store, batch)
        assert batch.status is Status.FAILED
        assert [(one.code, one.line) for one in batch.problems] == [("invalid", 2), ("duplicate_custom_id", 3)]
        assert not wire.computing
        assert (batch.output_file, batch.error_file) == (None, None)


async def test_file_without_requests_fails_the_batch(tmp_path: Path) -> None:
    """Blank lines are none."""
    async with running(tmp_path, FakeWire()) as (store, runner):
        batch = await created(store, lines_of("\n", "  \n"))
        runner.run(batch)
        assert [one.code for one in (await ended(store, batch)).problems] == ["empty_file"]


async def test_batch_goes_on_after_a_restart(tmp_path: Path) -> None:
    """Lines that were answered are not computed again; one that was being computed is, and each is answered once."""
    wire = FakeWire()
    async with running(tmp_path, wire, at_once=1) as (store, runner):
        wire.before = lambda _, line: wire.gate.clear() if line.number == 3 else None
        batch = await created(store, requests(6))
        runner.run(batch)
        await until(lambda: ("ana", 4) in wire.computing)
    again = FakeWire()
    async with running(tmp_path, again, at_once=1) as (store, _):
        batch = await ended(store, batch)
        assert again.computing == [("ana", number) for number in (4, 5, 6)]
        assert (batch.status, batch.completed) == (Status.COMPLETED, 6)
        assert await content(store, batch, batch.output_file) == "".join(f"r{at}\n" for at in range(6))


@pytest.mark.parametrize("status", [Status.VALIDATING, Status.FINALIZING, Status.CANCELLING])
async def test_batch_goes_on_from_any_state(tmp_path: Path, status: Status) -> None:
    """The next start takes it to its end."""
    async with open_store(tmp_path) as store:
        batch = await created(store, requests(2))
        if status is Status.FINALIZING:
            await store.do(store.batches.begin, batch, 2, "m")
            for line in requests(2):
                await store.do(store.batches.answer, batch, [await FakeWire().answer(batch, line)])
            await store.do(store.batches.finalize, batch)
        if status is Status.CANCELLING:
            await store.do(store.batches.cancel, "ana", batch.id)
        assert (await store.do(store.batches.current, batch)).status is status
    async with running(tmp_path, FakeWire()) as (store, _):
        ending = await ended(store, batch)
        assert ending.status is (Status.CANCELLED if status is Status.CANCELLING else Status.COMPLETED)


async def test_cancel_ends_what_is_computed_and_keeps_what_was(tmp_path: Path) -> None:
    """Lines without an answer are among the errors."""
    wire = FakeWire()
    async with running(tmp_path, wire, at_once=1) as (store, runner):
        wire.before = lambda _, line: wire.gate.clear()
        batch = await created(store, requests(4))
        runner.run(batch)
        await until(lambda: ("ana", 2) in wire.computing)
        runner.cancel(await store.do(store.batches.cancel, "ana", batch.id))
        batch = await ended(store, batch)
        assert (batch.status, batch.completed, batch.failed) == (Status.CANCELLED, 1, 3)
        assert await content(store, batch, batch.output_file) == "r0\n"
        assert await content(store, batch, batch.error_file) == "".join(f"batch_cancelled r{at}\n" for at in (1, 2, 3))
        assert len(wire.computing) == 2


async def test_batch_expires_when_its_window_ends(tmp_path: Path) -> None:
    """Lines without an answer are among the errors."""
    wire = FakeWire()
    wire.gate.clear()
    async with running(tmp_path, wire) as (store, runner):
        batch = await created(store, requests(3), window=1)
        runner.run(batch)
        batch = await ended(store, batch)
        assert (batch.status, batch.completed, batch.failed) == (Status.EXPIRED, 0, 3)
        assert (await content(store, batch, batch.error_file)).startswith("batch_expired r0\n")


async def test_line_is_tried_again_while_its_model_has_no_capacity(tmp_path: Path) -> None:
    """It leaves its place to lines of others meanwhile."""
    wire, refused = FakeWire(), [OverloadedError("full", 0.0), UnavailableError("WORKER_DIED", "gone", 0.0)]

    def refuse_first(_: BatchJob, line: Line) -> None:
        if line.number == 1 and refused:
            raise refused.pop()

    wire.before = refuse_first
    async with running(tmp_path, wire, at_once=1) as (store, runner):
        runner_module._SHORTEST_PAUSE, kept = 0.01, runner_module._SHORTEST_PAUSE
        batch = await created(store, requests(1))
        runner.run(batch)
        assert (await ended(store, batch)).completed == 1
        runner_module._SHORTEST_PAUSE = kept
    assert wire.computing == [("ana", 1)] * 3


async def test_answer_without_room_fails_its_batch_alone(tmp_path: Path) -> None:
    """What was answered before is there to read, and the batch says why the rest is not."""
    wire = FakeWire()
    bounds = Bounds(total_bytes=1 << 20, caller_bytes=3 * 4096 + 45, caller_count=3, lifetime=86_400)
    async with running(tmp_path, wire, at_once=1, bounds=bounds) as (store, runner):
        batch = await created(store, requests(3))
        other = await created(store, requests(3), "bob", 3600)
        for one in (batch, other):
            runner.run(one)
        batch = await ended(store, batch)
        assert (batch.status, batch.problems[0].code) == (Status.FAILED, "batch_quota")
        assert "more than" in batch.problems[0].message
        assert 0 < batch.completed < 3
        assert await content(store, batch, batch.output_file)


async def test_store_that_fails_has_its_batches_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it can be written again, they go on."""
    monkeypatch.setattr(runner_module, "_STORE_PAUSE", 0.01)
    async with running(tmp_path, FakeWire(), at_once=1) as (store, runner):
        answer, failures = store.batches.answer, [1, 2]

        def fail_first(*args: object) -> None:
            if failures:
                failures.pop()
                raise UnavailableError("BATCH_STORE_FAILED", "full")
            answer(*args)  # type: ignore[arg-type]

        monkeypatch.setattr(store.batches, "answer", fail_first)
        batch = await created(store, requests(2))
        runner.run(batch)
        assert (await ended(store, batch)).completed == 2


async def test_internal_error_fails_its_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not stay in progress for ever."""
    monkeypatch.setattr(runner_module, "_SHORTEST_PAUSE", 0.01)
    wire = FakeWire()
    wire.before = lambda *_: 1 / 0  # type: ignore[assignment,return-value]
    async with running(tmp_path, wire) as (store, runner):
        batch = await created(store, requests(1))
        runner.run(batch)
        batch = await ended(store, batch)
        assert (batch.status, batch.problems[0].code) == (Status.FAILED, "internal_error")


async def test_callers_share_the_places(tmp_path: Path) -> None:
    """A caller who comes later need not wait for the end of another's batch."""
    wire = FakeWire()
    wire.gate.clear()
    async with running(tmp_path, wire, at_once=2) as (store, runner):
        large = await created(store, requests(20))
        runner.run(large)
        await until(lambda: len(wire.computing) == 2)
        small = await created(store, requests(1), "bob")
        runner.run(small)
        await until(lambda: "bob" in runner._places._waiting)
        wire.gate.set()
        await ended(store, small)
        await ended(store, large)
        assert wire.computing[2] == ("bob", 1)


async def test_stopped_runner_begins_nothing(tmp_path: Path) -> None:
    """A batch that is created while the service drains waits for the next start."""
    wire = FakeWire()
    async with running(tmp_path, wire) as (store, runner):
        await runner.stop()
        batch = await created(store, requests(1))
        runner.run(batch)
        assert (await store.do(store.batches.current, batch)).status is Status.VALIDATING
    assert not wire.computing
