"""The client with real worker processes and a tiny model."""

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from llm_inference_api.errors import (
    ComputationError,
    ContextLengthError,
    ModelFailedError,
    OverloadedError,
    UnavailableError,
)
from llm_inference_api.requests.chat import Message
from llm_inference_api.requests.engine_config import ContextChoice, EngineConfig
from llm_inference_api.requests.events import FinishReason, Progress, Stage
from llm_inference_api.requests.inquiry import Embed, Input, Tokenize
from llm_inference_api.requests.reference import Reference
from llm_inference_api.requests.request import GenerationRequest, Sampling, Stopping
from llm_inference_api.requests.step import Delta, StepOutput, StepStats
from llm_inference_api.worker.client import WorkerClient
from llm_inference_api.worker.messages import Alive, FromWorker, Lane, LogLine, Prepared
from tests.fakes.gguf import CLEAR_CALLERS, write_tiny_model
from tests.fakes.mail import of_client
from tests.fakes.workers import die_when_ready, hang, without_memory


class Worker:
    """A client, and what its worker reports."""

    def __init__(self, config: EngineConfig, queue_length: int) -> None:
        self.stats: list[StepStats] = []
        self.exits: list[str] = []
        self._news = asyncio.Event()
        self.client = WorkerClient(config, queue_length, lambda fraction: None, self._on_stats, self.exits.append)

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

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Stops the process for the block."""
        assert self.client.pid is not None
        os.kill(self.client.pid, signal.SIGSTOP)
        yield
        os.kill(self.client.pid, signal.SIGCONT)

    async def complete(self, request: GenerationRequest) -> list[Delta]:
        async with aclosing(of_client(self.client, request)) as items:
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
    prompt = "hello " * 12  # A prompt of these weights is kept in steps of 64 tokens, which are bytes.
    async with running(config) as worker:
        alone = text(await worker.complete(request("alone", prompt, temperature=0.0, max_tokens=40)))
        company = [request(f"r{index}", f"prompt {index}", 40) for index in range(3)]
        beside, *_ = await asyncio.gather(
            worker.complete(request("beside", prompt, temperature=0.0, max_tokens=40)), *map(worker.complete, company)
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
        mailbox = worker.client.submit(request("late", max_tokens=20, temperature=0.0), {})
        await mailbox.wait_ended()
        (delta,) = await mailbox.next(None)
        worker.client.close_request(mailbox)
    assert isinstance(delta, Delta)
    assert (delta.text, delta.finish_reason) == (expected, FinishReason.LENGTH)


async def test_error_of_the_request_reaches_its_caller(config: EngineConfig) -> None:
    """A prompt that does not fit is refused with both numbers."""
    async with running(config) as worker:
        with pytest.raises(ContextLengthError, match=r"has 3000 tokens.* is 2048 tokens"):
            await worker.complete(request(prompt="x" * 3000))


async def test_full_queue_refuses_at_once(config: EngineConfig) -> None:
    """More requests than slots and queue hold are refused, with a time to come back."""
    async with running(replace(config, slots=1), queue_length=1) as worker:
        open_requests = [of_client(worker.client, request(f"r{index}", max_tokens=2000)) for index in range(2)]
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


async def test_background_takes_no_place_in_the_queue(config: EngineConfig) -> None:
    """Others are admitted beside as many as there are."""
    async with running(replace(config, slots=1, queue_timeout=1.0), queue_length=0) as worker:
        background = replace(request("b", max_tokens=300), is_background=True)
        answer = asyncio.ensure_future(worker.complete(background))
        await worker.until(lambda stats: stats.running == 1)
        await worker.complete(request("a", max_tokens=200))
        assert await answer
        with pytest.raises(OverloadedError):
            await worker.complete(replace(request("c"), is_background=True, n=2))


async def test_background_is_not_refused_for_its_wait(config: EngineConfig) -> None:
    """A request of another kind, which comes after it, is."""
    async with running(replace(config, slots=1, queue_timeout=0.3), queue_length=0) as worker:
        with worker.stopped():
            background = asyncio.ensure_future(worker.complete(replace(request("b"), is_background=True)))
            await asyncio.sleep(0)  # It is submitted.
            with pytest.raises(OverloadedError, match="no slot was free"):
                await worker.complete(request("a"))
        assert await background


async def test_answers_that_nobody_reads_take_no_place(config: EngineConfig) -> None:
    """What the worker has ended is owed no more: it fills neither queue nor slots, and holds up no unload."""
    async with running(replace(config, slots=1), queue_length=1) as worker:
        unread = [worker.client.submit(request(f"r{index}"), {}) for index in range(2)]
        for mailbox in unread:
            await mailbox.wait_ended()
        assert worker.client.idle
        assert await worker.complete(request("next"))
        assert all(isinstance(part, tuple) for part in [await mailbox.next(None) for mailbox in unread])
        for mailbox in unread:
            worker.client.close_request(mailbox)


async def test_request_that_waits_too_long_is_refused(config: EngineConfig) -> None:
    """The queue's timeout ends a request that has no slot; one that runs goes on, and the slot is free for others."""
    async with running(replace(config, slots=1, queue_timeout=1.0)) as worker:
        running_request = of_client(worker.client, request("a", max_tokens=2000))
        await anext(running_request)
        with worker.stopped(), pytest.raises(OverloadedError, match=r"no slot was free within 1 s"):
            await worker.complete(request("b"))
        await anext(running_request)
        await running_request.aclose()
        await worker.until(lambda stats: stats.running == 0)
        assert await worker.complete(request("c"))


async def test_time_in_which_the_service_was_stopped_is_no_queue_time(config: EngineConfig) -> None:
    """An event loop that stands still for longer than the queue's timeout refuses nobody."""
    async with running(replace(config, slots=1, queue_timeout=2.0)) as worker:
        with worker.stopped():
            waiting = asyncio.ensure_future(worker.complete(request("a")))
            await asyncio.sleep(0)
            time.sleep(2.5)  # noqa: ASYNC251 - the pause
        assert await waiting


async def test_worker_says_what_it_computes(config: EngineConfig) -> None:
    """Only what has a slot is at work, and nothing once the worker is idle."""
    async with running(replace(config, slots=1)) as worker:
        first = of_client(worker.client, request("a", max_tokens=2000))
        await anext(first)
        second = worker.client.submit(request("b", prompt="other"), {})
        await worker.until(lambda stats: stats.waiting == 1)
        assert [work.id for work in worker.client.at_work if isinstance(work, GenerationRequest)] == ["a"]
        await first.aclose()
        await second.wait_ended()
        assert worker.client.at_work == ()


async def test_closed_stream_frees_its_slot_at_the_next_step(config: EngineConfig) -> None:
    """A caller that leaves costs nothing more: the next report has the request cancelled, and none running."""
    async with running(config) as worker:
        items = of_client(worker.client, request(max_tokens=2000))
        await anext(items)
        await items.aclose()
        stats = await worker.until(lambda stats: bool(stats.cancelled))
    assert stats.cancelled == (Stage.DECODE,)
    assert stats.running == 0
    assert stats.kv_used == 0


async def test_request_that_waits_reports_its_place(config: EngineConfig) -> None:
    """A queued request yields progress at the interval."""
    async with running(replace(config, slots=1)) as worker:
        running_items = of_client(worker.client, request("runs", max_tokens=2000))
        await anext(running_items)
        waiting_items = of_client(worker.client, request("waits"), 0.01)
        assert await anext(waiting_items) == Progress(Stage.QUEUED, 0)
        await waiting_items.aclose()
        await running_items.aclose()


async def test_killed_worker_fails_open_requests_with_the_cause(config: EngineConfig) -> None:
    """When the process dies, its requests say so long before a watchdog would, and the exit is reported once."""
    async with running(config) as worker:
        items = of_client(worker.client, request(max_tokens=2000))
        await anext(items)
        assert worker.client.pid is not None
        os.kill(worker.client.pid, signal.SIGKILL)
        async with asyncio.timeout(10):
            with pytest.raises(UnavailableError, match="killed by signal 9"):
                async for _ in items:
                    pass
        with pytest.raises(UnavailableError):
            await worker.complete(request("late"))
    assert len(worker.exits) == 1


async def test_silent_worker_is_killed(config: EngineConfig) -> None:
    """A worker that is stopped while it owes an answer is taken for hung after the step timeout."""
    async with running(replace(config, step_timeout=1.0)) as worker:
        assert worker.client.pid is not None
        # Before it owes anything: on a busy machine, a step that it makes may take as long as the timeout.
        os.kill(worker.client.pid, signal.SIGSTOP)
        async with asyncio.timeout(30):
            with pytest.raises(UnavailableError, match=r"process ended \(no request was prepared.* within 1 s\)"):
                await worker.complete(request(max_tokens=2000))
    assert len(worker.exits) == 1


async def test_close_fails_what_is_open(config: EngineConfig) -> None:
    """Requests, inquiries and embeddings hear that the service stops; nobody is told of an exit that was wanted."""
    async with running(config) as worker:
        items = of_client(worker.client, request(max_tokens=2000))
        await anext(items)
        embed = Embed((Input("texts[0]", "x" * 2000),) * 50)
        open_tasks = [
            asyncio.create_task(worker.client.embed(embed)),
            asyncio.create_task(worker.client.inquire(Tokenize("hello", True, False))),
        ]
        await asyncio.sleep(0)
        await worker.client.close()
        for task in open_tasks:
            with pytest.raises(UnavailableError, match="is stopping"):
                await task
        with pytest.raises(UnavailableError, match="is stopping"):
            async for _ in items:
                pass
        assert worker.client.idle
    assert worker.exits == []


@pytest.mark.parametrize("phase", ["spawning", "loading"])
async def test_close_while_the_model_is_loaded_ends_the_process(config: EngineConfig, phase: str) -> None:
    """A load that nobody wants any more leaves no process, in whatever it is."""
    loading = asyncio.Event()
    target = partial(hang, place="text.chat_template:ChatTemplate.__init__")
    client = WorkerClient(
        config, 4, lambda fraction: loading.set(), lambda stats: None, lambda cause: None, target=target
    )
    starting = asyncio.create_task(client.start())
    await (loading.wait() if phase == "loading" else asyncio.sleep(0))
    starting.cancel()
    await asyncio.wait({starting})
    await client.close()
    assert client.pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(client.pid, 0)


async def test_worker_that_dies_as_soon_as_it_is_ready_fails_the_start(config: EngineConfig) -> None:
    """Either the start fails or the exit is told, never both: who starts it could not yet know the worker."""
    exits: list[str] = []
    before = set(threading.enumerate())

    def wait_for_exit(fraction: float) -> None:
        """Holds up the loop until it can hear of all that the worker does in its life."""
        (reader,) = (item for item in set(threading.enumerate()) - before if item.name == "worker-reader")
        reader.join()

    client = WorkerClient(config, 4, wait_for_exit, lambda stats: None, exits.append, target=die_when_ready)
    with pytest.raises(UnavailableError, match="process ended"):
        await client.start()
    assert exits == []
    await client.close()


@pytest.mark.parametrize("threads", [0, 1])
async def test_worker_without_memory_says_so_in_a_line(
    config: EngineConfig, caplog: pytest.LogCaptureFixture, threads: int
) -> None:
    """Whichever thread it cannot start any more; a traceback would explain nothing."""
    target = partial(without_memory, threads=threads)
    client = WorkerClient(config, 4, lambda fraction: None, lambda stats: None, lambda cause: None, target=target)
    with pytest.raises(ModelFailedError, match=r"last message: out of memory \(can't start new thread\)$"):
        await client.start()
    await client.close()
    assert "Traceback" not in caplog.text


async def test_worker_says_what_becomes_of_a_request_after_it_is_prepared(config: EngineConfig) -> None:
    """So the watchdog never takes an end for something that is still owed; a skipped request is told too."""
    heard: list[object] = []

    class Client(WorkerClient):
        def _handle(self, message: FromWorker) -> None:
            heard.append(message)
            super()._handle(message)

    client = Client(config, 16, lambda fraction: None, lambda stats: None, lambda cause: None)
    await client.start()
    try:
        streams = [of_client(client, request(f"r{index}", max_tokens=20)) for index in range(8)]
        first = [asyncio.create_task(anext(items)) for items in streams]
        await asyncio.sleep(0)
        first[-1].cancel()
        await asyncio.gather(*first, return_exceptions=True)
        async for _ in streams[0]:
            pass
        for items in streams:
            await items.aclose()
        await client.embed(Embed((Input("texts[0]", "hello"),)))
    finally:
        await client.close()
    prepared = [message.request_id for message in heard if isinstance(message, Prepared)]
    assert sorted(prepared) == [f"r{index}" for index in range(8)]
    ended = [
        delta.request_id
        for message in heard[: heard.index(Prepared("r0"))]
        if isinstance(message, StepOutput)
        for delta in message.deltas
    ]
    assert "r0" not in ended
    assert Alive(Lane.EMBEDDINGS) in heard


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("missing", "No such file or directory"),
        ("empty", "failed to read magic"),
        ("truncated", "tensor '.*' data is not within the file bounds, model is corrupted or incomplete"),
        ("garbage", "invalid magic characters"),
    ],
)
async def test_file_that_is_no_model_fails_the_start(
    config: EngineConfig, model_directory: Path, name: str, cause: str
) -> None:
    """A damaged file fails the load with llama.cpp's first error, and no path of this machine."""
    worker = Worker(replace(config, model_path=model_directory / f"{name}.gguf"), 4)
    with pytest.raises(ModelFailedError, match=f"cannot load the file: .*{cause}") as error:
        await worker.client.start()
    assert str(model_directory) not in str(error.value)
    await worker.client.close()


async def test_unknown_architecture_is_named(config: EngineConfig, tmp_path: Path) -> None:
    """By the error that llama.cpp logs first; the later ones say only that the load failed."""
    path = write_tiny_model(tmp_path / "m.gguf", architecture="thinker")
    worker = Worker(replace(config, model_path=path), 4)
    with pytest.raises(ModelFailedError, match="unknown model architecture: 'thinker'"):
        await worker.client.start()
    await worker.client.close()


async def test_split_model_of_links_is_loaded(config: EngineConfig, tmp_path: Path) -> None:
    """As in a snapshot of the hub's cache: llama.cpp finds the parts by the name that it is given."""
    (tmp_path / "blobs").mkdir()
    first = write_tiny_model(tmp_path / "blobs" / "m.gguf", part_tensors=8)
    for number, path in enumerate(sorted(first.parent.iterdir())):
        (tmp_path / path.name).symlink_to(path.rename(path.with_name(str(number))))
    path = Reference("m", first.name).path(tmp_path)
    async with running(replace(config, model_path=path)) as worker:
        assert await worker.complete(request())


async def test_weights_that_are_no_numbers_fail_the_request(config: EngineConfig, model_directory: Path) -> None:
    """A damaged model does not answer with nonsense."""
    async with running(replace(config, model_path=model_directory / "nan.gguf")) as worker:
        with pytest.raises(ComputationError, match="not finite"):
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


async def test_worker_reports_the_stages_of_a_request(config: EngineConfig) -> None:
    """The stages come in order, within the time of the request."""
    async with running(config) as worker:
        before = time.monotonic()
        mailbox = worker.client.submit(request("a"), {})
        await mailbox.wait_ended()
        after = time.monotonic()
        entries = mailbox.take_entries()
        worker.client.close_request(mailbox)
    assert [(entry.request_id, entry.stage) for entry in entries] == [
        ("a", Stage.QUEUED),
        ("a", Stage.PREFILL),
        ("a", Stage.DECODE),
    ]
    times = [before, *(entry.at for entry in entries), after]
    assert times == sorted(times)


async def test_several_answers_have_one_mailbox_and_their_own_seeds(config: EngineConfig) -> None:
    """Each answer is what a request with its seed gets."""
    several = replace(request("several", "a prompt of more than thirty-two tokens of one byte each"), n=3)
    async with running(config) as worker:
        await worker.complete(replace(several, id="first", n=1))  # The prompt is in the cache for all.
        alone = [
            text(await worker.complete(replace(several, id=f"{seed}", n=1, sampling=Sampling(seed, temperature=1.0))))
            for seed in (1, 2, 3)
        ]
        found = await worker.complete(several)
    assert [text([delta for delta in found if delta.answer == index]) for index in range(3)] == alone
    assert len(set(alone)) == 3
    assert [delta.usage is not None for delta in found if delta.finish_reason] == [True] * 3


async def test_request_that_wants_more_answers_than_there_is_room_is_refused(config: EngineConfig) -> None:
    """All its answers count, before any is computed."""
    async with running(replace(config, slots=1), queue_length=1) as worker:
        with pytest.raises(OverloadedError, match="n is too many"):
            worker.client.submit(replace(request(), n=3), {})
        assert await worker.complete(replace(request("two"), n=2))


async def test_workers_line_about_a_request_says_whose_it_is(config: EngineConfig) -> None:
    """The worker knows nothing of callers: the line has the values that came with the request."""
    heard: list[tuple[str, Any]] = []

    class Hearing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append((record.getMessage(), getattr(record, "fields", None)))

    hearing, logger = Hearing(), logging.getLogger("llm_inference_api.worker")
    logger.addHandler(hearing)
    try:
        async with running(config) as worker:
            mailbox = worker.client.submit(request("a", max_tokens=500), {"request_id": "somebody's"})
            worker.client._handle(LogLine(logging.WARNING, "about it", "a"))
            worker.client._handle(LogLine(logging.WARNING, "about something else"))
            worker.client.close_request(mailbox)
    finally:
        logger.removeHandler(hearing)
    assert heard[-2:] == [("about it", {"request_id": "somebody's"}), ("about something else", None)]
