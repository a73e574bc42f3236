"""Real workers of which one part hangs: found, named and ended, whatever the others do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from llm_inference_api.errors import ModelFailedError, UnavailableError
from llm_inference_api.processes.child import Target
from llm_inference_api.requests.chat import Message
from llm_inference_api.requests.engine_config import EngineConfig
from llm_inference_api.requests.inquiry import Embed, Input, Render, Tokenize
from llm_inference_api.requests.request import GenerationRequest, Sampling, Stopping
from llm_inference_api.requests.step import StepStats
from llm_inference_api.worker.client import WorkerClient
from llm_inference_api.worker.messages import Lane
from llm_inference_api.worker.start import run
from tests.fakes.gguf import TEMPLATE, write_tiny_model
from tests.fakes.mail import of_client
from tests.fakes.workers import hang

NO_STEP = "no step ended within 1 s"
NOT_PREPARED = "no request was prepared and no text tokenized within 1 s"
NOT_EMBEDDED = "no embedding was computed within 1 s"
ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
EMBED = Embed((Input("texts[0]", "hello"),))


class Worker:
    """A client, and what its worker reports."""

    def __init__(self, config: EngineConfig, target: Target) -> None:
        self.steps = 0
        self.exits: list[str] = []
        self._cancelled = 0
        self._news = asyncio.Event()
        self.client = WorkerClient(config, 16, lambda fraction: None, self._on_stats, self.exits.append, target=target)

    def _on_stats(self, stats: StepStats) -> None:
        self.steps += 1
        self._cancelled += len(stats.cancelled)
        self._news.set()

    async def until_counted(self, cancelled: int) -> None:
        """Returns when so many requests are reported as cancelled."""
        while self._cancelled < cancelled:
            self._news.clear()
            await self._news.wait()

    async def complete(self, item: GenerationRequest) -> None:
        async with aclosing(of_client(self.client, item)) as items:
            async for _ in items:
                pass


@pytest.fixture
def config(tiny_model: Path) -> EngineConfig:
    return EngineConfig(tiny_model, 1, 4, 20, 30.0, step_timeout=1.0)


@asynccontextmanager
async def running(config: EngineConfig, target: Target = run) -> AsyncIterator[Worker]:
    worker = Worker(config, target)
    try:
        async with asyncio.timeout(60):
            await worker.client.start()
            yield worker
    finally:
        await worker.client.close()


def request(name: str = "a", prompt: str | tuple[Message, ...] = "hello", max_tokens: int = 8) -> GenerationRequest:
    return GenerationRequest(name, prompt, Sampling(0), Stopping(max_tokens, (), ignore_eos=True))


async def hung(worker: Worker, cause: str) -> None:
    """Checks that the worker was ended for this cause."""
    await worker.client._gone.wait()
    assert worker.exits == [f"its process ended ({cause})"]


async def test_hung_step_is_found(config: EngineConfig) -> None:
    """The engine's thread, inside a step."""
    async with running(config, partial(hang, place="engine.engine:Engine.step")) as worker:
        with pytest.raises(UnavailableError, match=NO_STEP):
            await worker.complete(request())
        await hung(worker, NO_STEP)


async def test_hung_preparation_is_found(config: EngineConfig) -> None:
    """The preparer's thread, with a request."""
    async with running(config, partial(hang, place="worker.preparer:Preparer.prepare")) as worker:
        with pytest.raises(UnavailableError, match=NOT_PREPARED):
            await worker.complete(request())
        await hung(worker, NOT_PREPARED)


async def test_hung_inquiry_is_found(config: EngineConfig) -> None:
    """The preparer's thread, with a text."""
    async with running(config, partial(hang, place="worker.inspector:Inspector.answer")) as worker:
        with pytest.raises(UnavailableError, match=NOT_PREPARED):
            await worker.client.inquire(Tokenize("Hello", True, False))
        await hung(worker, NOT_PREPARED)


async def test_hung_embedder_is_found(config: EngineConfig) -> None:
    """The embedder's thread, although its caller has left."""
    async with running(config, partial(hang, place="engine.embedder:Embedder.answer")) as worker:
        asking = asyncio.create_task(worker.client.embed(EMBED))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait({asking})
        assert worker.client.idle
        await hung(worker, NOT_EMBEDDED)


async def test_hung_embedder_is_found_beside_a_busy_engine(config: EngineConfig) -> None:
    """Steps go on all the while, and do not count as its life."""
    async with running(config, partial(hang, place="engine.embedder:Embedder.answer")) as worker:

        async def keep_busy() -> None:
            for index in range(10_000):
                await worker.complete(request(f"r{index}", max_tokens=200))

        busy = asyncio.create_task(keep_busy())
        with pytest.raises(UnavailableError, match=NOT_EMBEDDED):
            await worker.client.embed(EMBED)
        await hung(worker, NOT_EMBEDDED)
        with pytest.raises(UnavailableError, match="process ended"):
            await busy
        assert worker.steps > 100


async def test_template_that_never_ends_is_found_beside_a_busy_engine(config: EngineConfig, tmp_path: Path) -> None:
    """A chat that sends the model's own template into a loop, which only the preparer's thread is in."""
    template = "{% if messages[0].content == 'loop' %}" + ENDLESS + "{% endif %}" + TEMPLATE
    path = write_tiny_model(tmp_path / "loop.gguf", template=template)
    async with running(replace(config, model_path=path)) as worker:
        await worker.client.inquire(Render(request(prompt=(Message("user", "no"),))))
        items = of_client(worker.client, request("other", max_tokens=2000))
        await anext(items)
        with pytest.raises(UnavailableError, match=NOT_PREPARED):
            await worker.client.inquire(Render(request(prompt=(Message("user", "loop"),))))
        await hung(worker, NOT_PREPARED)
        await items.aclose()


@pytest.mark.parametrize("place", ["worker.process:build", "text.chat_template:ChatTemplate.__init__"])
async def test_hung_load_is_found(config: EngineConfig, place: str) -> None:
    """Before the weights, and after them."""
    worker = Worker(replace(config, load_timeout=1.0), partial(hang, place=place))
    with pytest.raises(ModelFailedError, match=r"process ended \(the loading made no progress within 1 s\)"):
        await worker.client.start()
    await worker.client.close()
    assert worker.exits == []


async def test_template_that_never_ends_fails_its_load(config: EngineConfig, tmp_path: Path) -> None:
    """It is probed while the model is loaded."""
    path = write_tiny_model(tmp_path / "loop.gguf", template=ENDLESS + TEMPLATE)
    worker = Worker(replace(config, model_path=path, load_timeout=1.0), run)
    with pytest.raises(ModelFailedError, match="the loading made no progress"):
        await worker.client.start()
    await worker.client.close()


async def test_worker_that_has_paid_owes_nothing(config: EngineConfig) -> None:
    """All that a real worker says adds up: nothing is left behind that would end an idle one."""
    async with running(replace(config, step_timeout=60.0)) as worker:
        await asyncio.gather(
            *(worker.complete(request(f"r{index}")) for index in range(8)),
            worker.client.embed(EMBED),
            worker.client.inquire(Tokenize("Hello", True, False)),
        )
        streams = [of_client(worker.client, request(f"left {index}", max_tokens=1000)) for index in range(8)]
        first = [asyncio.create_task(anext(items)) for items in streams]
        await asyncio.sleep(0)
        for task in first[2:]:  # While they are prepared, or before.
            task.cancel()
        await asyncio.wait(first)
        for items in streams:
            await items.aclose()
        await worker.until_counted(8)
        await worker.client.inquire(Tokenize("Hello", True, False))
        lanes = worker.client._watchdog._lanes.values()
        assert [(lane._pending, lane._silent_since) for lane in lanes] == [(set(), None)] * len(Lane)
