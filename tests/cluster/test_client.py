"""The client of a model's replicas, with a scripted one in the place of Ray's handle."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Self

import pytest

from llm_inference_api.cluster.channel import Inbox, Outlets, ReplicaAddress
from llm_inference_api.cluster.replica import Outcome, StreamPart
from llm_inference_api.errors import REPLICA_DIED, ModelFailedError, OverloadedError, ServiceError
from llm_inference_api.requests.events import FinishReason, Progress, Stage
from llm_inference_api.requests.step import Delta, StageEntry
from llm_inference_api.worker.mailbox import Mailbox
from tests.cluster.received import opened_inbox
from tests.models.test_registry import request

pytest.importorskip("ray", reason="needs the extra `cluster`")

from llm_inference_api.cluster.client import ReplicaClient

SILENCE = 0.2
Send = Callable[[StreamPart], Awaitable[None]]
Script = Callable[[Send], Awaitable[Outcome]]
END = Delta("r", "b", finish_reason=FinishReason.LENGTH)


class Call:
    """What a handle returns: a replica's answer, to be awaited or cancelled."""

    def __init__(self, answer: Awaitable[Outcome]) -> None:
        self._task = asyncio.ensure_future(answer)
        self.is_cancelled = False

    def __await__(self) -> Any:
        return self._task.__await__()

    def cancel(self) -> None:
        self.is_cancelled = True
        self._task.cancel()


class Handle:
    """A replica that does what its script says, with a way to send parts."""

    def __init__(self, script: Script) -> None:
        self._script, self._outlets = script, Outlets()
        self.calls: list[Call] = []

    def options(self, **_: object) -> Self:
        return self

    def remote(self, _request: object, _identity: object, to: ReplicaAddress | None = None) -> Call:
        async def send(part: StreamPart) -> None:
            assert to is not None
            await self._outlets.send(to, part)

        self.calls.append(Call(self._script(send)))
        return self.calls[-1]


@asynccontextmanager
async def asked(script: Script, queue_timeout: float = 20.0) -> AsyncIterator[tuple[Mailbox, Handle, Inbox]]:
    """Yields the mailbox of a request that a scripted replica answers."""
    async with opened_inbox() as inbox:
        handle = Handle(script)
        client = ReplicaClient(handle, inbox, 2, queue_timeout, SILENCE)  # type: ignore[arg-type]
        mailbox = client.submit(request(), {})
        try:
            yield mailbox, handle, inbox
        finally:
            client.close_request(mailbox)
            await handle._outlets.close()


async def read(mailbox: Mailbox) -> list[Delta]:
    """Returns the deltas up to the end. Raises the request's error."""
    deltas: list[Delta] = []
    async with asyncio.timeout(20):
        while not (deltas and deltas[-1].finish_reason):
            arrived = await mailbox.next(None)
            assert not isinstance(arrived, Progress)
            deltas += arrived
    return deltas


async def error_of(mailbox: Mailbox) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        await read(mailbox)
    return caught.value


async def test_deltas_reach_the_mailbox_before_the_call_ends() -> None:
    """The call only says when all was sent."""
    done = asyncio.Event()

    async def script(send: Send) -> Outcome:
        await send(StreamPart(now=1.0))
        await send(StreamPart((Delta("r", "a"),)))
        await send(StreamPart((END,)))
        await done.wait()
        return Outcome(3)

    async with asked(script) as (mailbox, handle, _):
        assert "".join(delta.text for delta in await read(mailbox)) == "ab"
        done.set()
    assert not handle.calls[0].is_cancelled


async def test_what_is_on_its_way_when_the_call_ends_is_waited_for() -> None:
    async def script(send: Send) -> Outcome:
        async def later() -> None:
            for part in (StreamPart(), StreamPart((Delta("r", "a"), END))):
                await send(part)

        sending.append(asyncio.ensure_future(later()))
        return Outcome(2)

    sending: list[asyncio.Future[None]] = []
    async with asked(script) as (mailbox, _, _):
        assert "".join(delta.text for delta in await read(mailbox)) == "ab"


async def test_times_are_moved_to_this_machines_clock() -> None:
    loop = asyncio.get_running_loop()

    async def script(send: Send) -> Outcome:
        await send(StreamPart(now=1000.0))
        await send(StreamPart((END._replace(ended_at=1003.0),), (StageEntry("r", Stage.PREFILL, 1001.0),)))
        return Outcome(2)

    before = loop.time()
    async with asked(script) as (mailbox, _, _):
        (delta,) = await read(mailbox)
        (entry,) = mailbox.take_entries()
    received = delta.ended_at - 3.0
    assert before <= received <= loop.time()
    assert entry.at == pytest.approx(received + 1.0)


async def test_parts_that_never_arrive_are_a_loss() -> None:
    """The call says that there were more: nobody may take the answer for whole."""

    async def script(send: Send) -> Outcome:
        await send(StreamPart())
        return Outcome(2)

    async with asked(script) as (mailbox, _, _):
        error = await error_of(mailbox)
    assert error.reason == REPLICA_DIED


async def test_replica_that_falls_silent_is_given_up() -> None:
    async def script(send: Send) -> Outcome:
        await send(StreamPart())
        await asyncio.Event().wait()
        raise AssertionError

    async with asked(script) as (mailbox, handle, _):
        error = await error_of(mailbox)
        await asyncio.wait({handle.calls[0]._task})
    assert error.reason == REPLICA_DIED
    assert handle.calls[0].is_cancelled


async def test_request_waits_for_a_replica_longer_than_one_may_be_silent() -> None:
    """Until one has it, the queue's limit counts alone."""

    async def script(send: Send) -> Outcome:
        await asyncio.sleep(3 * SILENCE)
        await send(StreamPart((END,)))
        return Outcome(1)

    async with asked(script) as (mailbox, _, _):
        assert len(await read(mailbox)) == 1


async def test_request_that_no_replica_takes_is_refused_with_advice() -> None:
    async def script(_: Send) -> Outcome:
        await asyncio.Event().wait()
        raise AssertionError

    async with asked(script, queue_timeout=0.05) as (mailbox, handle, _):
        error = await error_of(mailbox)
        await asyncio.wait({handle.calls[0]._task})
    assert isinstance(error, OverloadedError)
    assert handle.calls[0].is_cancelled


async def test_error_of_the_stream_comes_after_its_deltas() -> None:
    async def script(send: Send) -> Outcome:
        await send(StreamPart((Delta("r", "a"),)))
        await send(StreamPart(error=ModelFailedError("is wrong")))
        return Outcome(2)

    async with asked(script) as (mailbox, _, _):
        arrived = await mailbox.next(None)
        error = await error_of(mailbox)
    assert not isinstance(arrived, Progress)
    assert arrived[0].text == "a"
    assert isinstance(error, ModelFailedError)


async def test_error_of_the_call_ends_the_request() -> None:
    """Such as that the replica does not reach this server."""

    async def script(_: Send) -> Outcome:
        return Outcome(0, OverloadedError("full", 1.0))

    async with asked(script) as (mailbox, _, _):
        assert isinstance(await error_of(mailbox), OverloadedError)


async def test_closed_request_is_cancelled_in_the_replica() -> None:
    begun = asyncio.Event()

    async def script(send: Send) -> Outcome:
        await send(StreamPart())
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with asked(script) as (_, handle, inbox):
        await begun.wait()
    await asyncio.wait({handle.calls[0]._task})
    assert handle.calls[0].is_cancelled
    assert not inbox._receivers


async def test_inquiry_that_is_given_up_is_cancelled_in_the_replica() -> None:
    begun = asyncio.Event()

    async def script(_: Send) -> Outcome:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with opened_inbox() as inbox:
        handle = Handle(script)
        client = ReplicaClient(handle, inbox, 2, 20.0, SILENCE)  # type: ignore[arg-type]
        asking = asyncio.ensure_future(client.ask("embed", None, None))
        await begun.wait()
        asking.cancel()
        await asyncio.wait({asking})
    assert handle.calls[0].is_cancelled


async def test_requests_beyond_the_capacity_are_refused_until_one_ends() -> None:
    """Background requests have places of their own."""
    ended = asyncio.Event()

    async def script(_: Send) -> Outcome:
        await ended.wait()
        return Outcome(error=ModelFailedError("it is over"))

    async with opened_inbox() as inbox:
        client = ReplicaClient(Handle(script), inbox, 2, 20.0, SILENCE)  # type: ignore[arg-type]
        mailboxes = [client.submit(request(name), {}) for name in "ab"]
        with pytest.raises(OverloadedError, match="2 of 2 requests are running"):
            client.check_place(request("c"))
        client.check_place(replace(request("d"), is_background=True))
        ended.set()
        for mailbox in mailboxes:
            with pytest.raises(ModelFailedError):
                await read(mailbox)
        client.check_place(request("c"))
        with pytest.raises(OverloadedError, match="n is too many"):
            client.check_place(replace(request("c"), n=3))


async def test_errands_beyond_the_capacity_are_refused_until_one_ends() -> None:
    async with opened_inbox() as inbox:
        client = ReplicaClient(Handle(None), inbox, 1, 20.0, SILENCE)  # type: ignore[arg-type]
        with client.errand(), pytest.raises(OverloadedError), client.errand():
            pass
        with client.errand():
            pass
