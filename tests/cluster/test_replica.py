"""A replica with a real worker, without Ray."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from llm_inference_api.cluster.replica import Replica, ReplicaJob, StreamPart, without_token
from llm_inference_api.cluster.report import Report
from llm_inference_api.errors import ModelFailedError, UnavailableError
from llm_inference_api.models.hub.fetch import HubOptions
from llm_inference_api.models.source import Sources
from llm_inference_api.requests.engine_config import EngineConfig
from llm_inference_api.requests.inquiry import Tokenize
from llm_inference_api.requests.model_status import State
from llm_inference_api.requests.reference import Reference
from llm_inference_api.requests.step import StageEntry
from tests.cluster.received import Received, opened_inbox
from tests.models.test_registry import request


def job(directory: Path, model: str = "tiny.gguf") -> ReplicaJob:
    engine = EngineConfig(directory, threads=1, slots=2, default_max_tokens=10, queue_timeout=30.0)
    sources = Sources(directory, directory / "cache", HubOptions({}))
    return ReplicaJob(Reference(model, model), sources, engine, 8, 4 << 30, None, interval=5.0)


@asynccontextmanager
async def replica(of: ReplicaJob) -> AsyncIterator[tuple[Replica, list[Report]]]:
    """Yields a replica, and what it reports."""
    reports: list[Report] = []

    async def post(report: Report) -> None:
        reports.append(report)

    def report(news: Report) -> asyncio.Task[None]:
        return asyncio.ensure_future(post(news))

    made = Replica(of, report)
    await made.start()
    try:
        yield made, reports
    finally:
        await made.close()


async def parts(of: Replica, max_tokens: int = 5) -> list[StreamPart]:
    """Returns what a server receives of a request, all of it."""
    received = Received()
    async with opened_inbox() as inbox:
        outcome = await of.generate(request(max_tokens=max_tokens), {}, inbox.open(received.take))
        assert outcome.error is None
        return await received.until(outcome.result)


async def test_replica_is_there_when_it_has_the_model(model_directory: Path) -> None:
    async with replica(job(model_directory)) as (_, reports):
        await asyncio.sleep(0)
        assert reports[-1].status is not None
        assert reports[-1].status.state is State.ACTIVE


async def test_stream_begins_with_the_news_that_a_replica_has_the_request(model_directory: Path) -> None:
    async with replica(job(model_directory)) as (made, _):
        first, *rest = await parts(made)
    assert first.arrived is None
    assert rest[-1].arrived is not None
    assert rest[-1].error is None


async def test_times_are_those_of_the_clock_that_comes_with_them(model_directory: Path) -> None:
    """Each machine has a monotonic clock of its own."""
    async with replica(job(model_directory)) as (made, _):
        first, *rest = await parts(made)
    entries = [entry.at for part in rest for entry in part.entries]
    assert entries
    assert all(first.now <= at <= rest[-1].now for at in entries)


async def test_failed_load_is_a_value(model_directory: Path) -> None:
    """Ray would wrap an error that is raised, and its gRPC status and details would be lost."""
    async with replica(job(model_directory, "garbage.gguf")) as (made, _):
        last = (await parts(made))[-1]
        outcome = await made.inquire(Tokenize("a", add_special=False, parse_special=False), "")
    assert isinstance(last.error, ModelFailedError)
    assert isinstance(outcome.error, ModelFailedError)


class EndlessStream:
    """A stream of which nothing comes."""

    def __init__(self) -> None:
        self.is_asked, self.is_closed = asyncio.Event(), False

    async def next(self, _interval: float) -> None:
        self.is_asked.set()
        await asyncio.Event().wait()

    def take_entries(self) -> list[StageEntry]:
        return []

    def close(self) -> None:
        self.is_closed = True


async def test_cancelled_call_cancels_its_answer(model_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray cancels the call of a caller who has gone; the replica would compute for nobody."""
    async with replica(job(model_directory)) as (made, _):
        stream = EndlessStream()
        monkeypatch.setattr(made._model, "open", lambda *_: stream)
        reading = asyncio.ensure_future(parts(made))
        await stream.is_asked.wait()
        reading.cancel()
        await asyncio.wait({reading})
    assert stream.is_closed


async def test_cancelled_answer_is_not_computed_further(model_directory: Path) -> None:
    """The worker has nothing more to do, long before the answer's end."""
    begun = asyncio.Event()
    async with replica(job(model_directory)) as (made, _), opened_inbox() as inbox:
        address = inbox.open(lambda part: begun.set() if part.arrived else None)
        call = asyncio.ensure_future(made.generate(request(max_tokens=1000), {}, address))
        await begun.wait()
        call.cancel()
        async with asyncio.timeout(20):
            assert made._model._client is not None
            await made._model._client.drain()


async def test_server_that_cannot_be_reached_is_named(model_directory: Path) -> None:
    """And nothing is computed for it further."""
    async with opened_inbox() as inbox:
        address = inbox.open(lambda _: None)
    async with replica(job(model_directory)) as (made, _):
        outcome = await made.generate(request(max_tokens=1000), {}, address)
        async with asyncio.timeout(20):
            assert made._model._client is not None
            await made._model._client.drain()
    assert isinstance(outcome.error, UnavailableError)
    assert f"127.0.0.1:{address.port}" in str(outcome.error)


async def test_last_report_says_that_the_replica_is_gone(model_directory: Path) -> None:
    async with replica(job(model_directory)) as (_, reports):
        pass
    assert reports[-1].status is None


def test_token_stays_out_of_what_the_cluster_stores(tmp_path: Path) -> None:
    hub = HubOptions({"HF_TOKEN": "secret", "HF_HOME": "/home"})
    stored = without_token(Sources(tmp_path, tmp_path, hub))
    assert stored.hub.environment == {"HF_HOME": "/home"}


def test_token_is_that_of_the_replicas_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is taken out of the environment, which the worker inherits."""
    monkeypatch.setenv("HF_TOKEN", "of this machine")
    assert job(tmp_path).policy().sources.hub.environment["HF_TOKEN"] == "of this machine"
    assert "HF_TOKEN" not in os.environ


def test_other_settings_are_another_build(tmp_path: Path) -> None:
    assert replace(job(tmp_path), queue_length=1).build != job(tmp_path).build
    assert job(tmp_path).build == job(tmp_path).build
