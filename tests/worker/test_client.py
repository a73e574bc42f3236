"""The client with real worker processes and a tiny model."""

import asyncio
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path

import pytest

from llm_inference_api.errors import (
    ComputationError,
    ContextLengthError,
    ModelFailedError,
    OverloadedError,
    UnavailableError,
)
from llm_inference_api.requests.engine_config import ContextChoice, EngineConfig
from llm_inference_api.requests.request import (
    Delta,
    FinishReason,
    GenerationRequest,
    Message,
    Progress,
    Sampling,
    Stage,
    StageEntry,
    Stopping,
    stage_listener,
)
from llm_inference_api.requests.step import StepStats
from llm_inference_api.worker.client import EngineClient
from llm_inference_api.worker.messages import LogLine
from tests.fakes.gguf import CLEAR_CALLERS


class Worker:
    """A client, and what its worker reports."""

    def __init__(self, config: EngineConfig, queue_length: int) -> None:
        self.stats: list[StepStats] = []
        self.exits: list[str] = []
        self._news = asyncio.Event()
        self.client = EngineClient(config, queue_length, lambda fraction: None, self._on_stats, self.exits.append)

    def _on_stats(self, stats: StepStats) -> None:
        self.stats.append(stats)
        self._news.set()

    async def until(self, holds: Callable[[StepStats], bool]) -> StepStats:
        """Returns the newest report once that holds for it; a report that came before the call counts too."""
        async with asyncio.timeout(60):
            while not (self.stats and holds(self.stats[-1])):
                self._news.clear()
                await self._news.wait()
        return self.stats[-1]

    async def complete(self, request: GenerationRequest) -> list[Delta]:
        async with aclosing(self.client.stream(request, None)) as items:
            return [item async for item in items if isinstance(item, Delta)]


@pytest.fixture
def config(tiny_model: Path) -> EngineConfig:
    return EngineConfig(tiny_model, threads=1, slots=4, default_max_tokens=20, queue_timeout=30.0)


@asynccontextmanager
async def running(config: EngineConfig, queue_length: int = 16) -> AsyncIterator[Worker]:
    worker = Worker(config, queue_length)
    try:
        await worker.client.start()
        yield worker
    finally:
        await worker.client.close()


def request(
    name: str = "a",
    prompt: str | tuple[Message, ...] = "hello",
    max_tokens: int = 8,
    *,
    seed: int = 1,
    temperature: float = 1.0,
    ignore_eos: bool = True,
) -> GenerationRequest:
    sampling = Sampling(seed=seed, temperature=temperature)
    return GenerationRequest(name, prompt, sampling, Stopping(max_tokens, (), ignore_eos))


def text(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


async def test_worker_describes_its_model(config: EngineConfig) -> None:
    """A started worker says what it runs."""
    worker = Worker(config, 4)
    info = await worker.client.start()
    assert (info.context_length, info.vocabulary_size, info.slots) == (2048, 261, 4)
    assert info.has_chat_template
    await worker.client.close()


async def test_same_seed_gives_the_same_text(config: EngineConfig, model_directory: Path) -> None:
    """Seeds reproduce, and other seeds give other texts."""
    async with running(replace(config, model_path=model_directory / "steady.gguf")) as worker:
        first, again, other = [text(await worker.complete(request(seed=seed, max_tokens=30))) for seed in (1, 1, 2)]
    assert first == again != other


async def test_text_does_not_depend_on_the_company(config: EngineConfig) -> None:
    """Greedy text is the same alone, beside other requests, and with a prefix from the cache."""
    async with running(config) as worker:
        alone = text(await worker.complete(request("alone", temperature=0.0, max_tokens=40)))
        company = [request(f"r{index}", f"prompt {index}", 40) for index in range(3)]
        beside, *_ = await asyncio.gather(
            worker.complete(request("beside", temperature=0.0, max_tokens=40)), *map(worker.complete, company)
        )
    assert text(beside) == alone
    assert beside[-1].usage is not None
    assert beside[-1].usage.cached_tokens > 0


async def test_many_requests_keep_their_answers_apart(config: EngineConfig) -> None:
    """With more requests than slots, all end, and each has the text that it has alone."""
    requests = [request(f"r{number}", f"caller {number}", 12, temperature=0.0) for number in CLEAR_CALLERS]
    async with running(config) as worker:
        together = await asyncio.gather(*map(worker.complete, requests))
        alone = [await worker.complete(replace(item, id=f"{item.id} alone")) for item in requests]
    assert list(map(text, together)) == list(map(text, alone))
    assert all(deltas[-1].finish_reason is FinishReason.LENGTH for deltas in together)


async def test_reader_that_is_late_gets_one_joined_delta(config: EngineConfig) -> None:
    """What arrives while nobody reads is one delta, and nothing of it is lost."""
    async with running(config) as worker:
        expected = text(await worker.complete(request("first", max_tokens=20, temperature=0.0)))
        late = request("late", max_tokens=20, temperature=0.0)
        async with aclosing(worker.client.stream(late, None)) as items:
            first = await anext(items)
            await worker.until(lambda stats: stats.running == 0)
            rest = [item async for item in items]
    assert isinstance(first, Delta)
    assert len(rest) == 1
    assert text([first, rest[0]]) == expected  # type: ignore[list-item]


async def test_error_of_the_request_reaches_its_caller(config: EngineConfig) -> None:
    """A prompt that does not fit is refused with both numbers."""
    async with running(config) as worker:
        with pytest.raises(ContextLengthError, match=r"has 3000 tokens.* is 2048 tokens"):
            await worker.complete(request(prompt="x" * 3000))


async def test_full_queue_refuses_at_once(config: EngineConfig) -> None:
    """More requests than slots and queue hold are refused, with a time to come back."""
    async with running(replace(config, slots=1), queue_length=1) as worker:
        open_requests = [worker.client.stream(request(f"r{index}", max_tokens=2000), None) for index in range(2)]
        for items in open_requests[:1]:
            await anext(items)
        waiting = asyncio.ensure_future(anext(open_requests[1]))
        await worker.until(lambda stats: stats.waiting == 1)
        with pytest.raises(OverloadedError) as error:
            await worker.complete(request("more"))
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        for items in open_requests:
            await items.aclose()
    assert error.value.retry_after >= 1.0


async def test_closed_stream_frees_its_slot_at_the_next_step(config: EngineConfig) -> None:
    """A caller that leaves costs nothing more: the next report has the request cancelled, and none running."""
    async with running(config) as worker:
        items = worker.client.stream(request(max_tokens=2000), None)
        await anext(items)
        await items.aclose()
        stats = await worker.until(lambda stats: bool(stats.cancelled))
    assert stats.cancelled == (Stage.DECODE,)
    assert stats.running == 0
    assert stats.kv_used == 0


async def test_request_that_waits_reports_its_place(config: EngineConfig) -> None:
    """A queued request yields progress at the interval."""
    async with running(replace(config, slots=1)) as worker:
        running_items = worker.client.stream(request("runs", max_tokens=2000), None)
        await anext(running_items)
        waiting_items = worker.client.stream(request("waits"), 0.01)
        assert await anext(waiting_items) == Progress(Stage.QUEUED, 0)
        await waiting_items.aclose()
        await running_items.aclose()


async def test_killed_worker_fails_open_requests_with_the_cause(config: EngineConfig) -> None:
    """When the process dies, its requests say so within a second, and the exit is reported once."""
    async with running(config) as worker:
        items = worker.client.stream(request(max_tokens=2000), None)
        await anext(items)
        assert worker.client.pid is not None
        os.kill(worker.client.pid, signal.SIGKILL)
        async with asyncio.timeout(1):
            with pytest.raises(UnavailableError, match="killed by signal 9"):
                async for _ in items:
                    pass
        with pytest.raises(UnavailableError):
            await worker.complete(request("late"))
    assert len(worker.exits) == 1


async def test_silent_worker_is_killed(config: EngineConfig) -> None:
    """A worker that is stopped while it owes an answer is taken for hung after the step timeout."""
    async with running(replace(config, step_timeout=0.3)) as worker:
        assert worker.client.pid is not None
        # Before it owes anything: on a busy machine, a step that it makes may take as long as the timeout.
        os.kill(worker.client.pid, signal.SIGSTOP)
        async with asyncio.timeout(5):
            with pytest.raises(UnavailableError, match="signal 9"):
                await worker.complete(request(max_tokens=2000))
    assert "no step ended within 0.3 s" in worker.exits[0]


@pytest.mark.parametrize("name", ["missing", "empty", "truncated", "garbage"])
async def test_file_that_is_no_model_fails_the_start(config: EngineConfig, model_directory: Path, name: str) -> None:
    """A damaged file fails the load with a reason that shows no path of this machine."""
    worker = Worker(replace(config, model_path=model_directory / f"{name}.gguf"), 4)
    with pytest.raises(ModelFailedError, match="cannot load the file") as error:
        await worker.client.start()
    assert str(model_directory) not in str(error.value)
    await worker.client.close()


async def test_weights_that_are_no_numbers_fail_the_request(config: EngineConfig, model_directory: Path) -> None:
    """A damaged model does not answer with nonsense."""
    async with running(replace(config, model_path=model_directory / "nan.gguf")) as worker:
        with pytest.raises(ComputationError, match="no numbers"):
            await worker.complete(request())


async def test_long_run_of_one_character_does_not_crash(config: EngineConfig) -> None:
    """The tokenizer's recursion has the stack that it needs."""
    async with running(replace(config, context=ContextChoice(2048))) as worker:
        with pytest.raises(ContextLengthError):
            await worker.complete(request(prompt="a" * 4000))
        assert await worker.complete(request("next"))


async def test_chat_uses_the_models_template(config: EngineConfig) -> None:
    """A chat is a prompt of the template's making."""
    messages = (Message("user", "hi"),)
    async with running(config) as worker:
        chat = await worker.complete(request("chat", messages, temperature=0.0))
        raw = await worker.complete(request("raw", "<|user|>hi<|end|><|assistant|>", temperature=0.0))
    assert text(chat) == text(raw)
    assert chat[-1].usage is not None
    assert raw[-1].usage is not None
    assert chat[-1].usage.prompt_tokens == raw[-1].usage.prompt_tokens == 5


async def test_worker_tells_who_listens_where_the_request_stands(config: EngineConfig) -> None:
    """The stages come in order, within the time of the request."""
    entries: list[StageEntry] = []
    stage_listener.set(entries.append)
    async with running(config) as worker:
        before = time.monotonic()
        await worker.complete(request("a"))
        after = time.monotonic()
    assert [(entry.request_id, entry.stage) for entry in entries] == [
        ("a", Stage.QUEUED),
        ("a", Stage.PREFILL),
        ("a", Stage.DECODE),
    ]
    times = [before, *(entry.at for entry in entries), after]
    assert times == sorted(times)


async def test_workers_line_about_a_request_is_logged_in_its_context(config: EngineConfig) -> None:
    """So the line says whose request it is about, although the worker knows nothing of callers."""
    caller: ContextVar[str] = ContextVar("caller", default="nobody")
    heard: list[tuple[str, str]] = []

    class Hearing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append((record.getMessage(), caller.get()))

    hearing, logger = Hearing(), logging.getLogger("llm_inference_api.worker")
    logger.addHandler(hearing)
    try:
        async with running(config) as worker:
            caller.set("somebody")
            async with aclosing(worker.client.stream(request("a", max_tokens=500), None)) as items:
                await anext(items)
                caller.set("nobody")
                worker.client._handle(LogLine(logging.WARNING, "about it", "a"))
                worker.client._handle(LogLine(logging.WARNING, "about something else"))
    finally:
        logger.removeHandler(hearing)
    assert heard[-2:] == [("about it", "somebody"), ("about something else", "nobody")]
