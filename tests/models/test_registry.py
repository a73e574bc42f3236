"""The life of models, with real worker processes."""

import asyncio
import errno
import gc
import os
import signal
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llm_inference_api.engine.state_marks import MIN_SHARED_TOKENS
from llm_inference_api.errors import (
    InvalidFieldError,
    ModelFailedError,
    ModelNotFoundError,
    OverloadedError,
    UnavailableError,
    UnsupportedError,
)
from llm_inference_api.models import served_model as subject
from llm_inference_api.models.hub.fetch import HubOptions
from llm_inference_api.models.memory_budget import MemoryBudget
from llm_inference_api.models.registry import Registry, build_registry
from llm_inference_api.models.served_model import Policy, ServedModel
from llm_inference_api.models.source import ModelFiles, Sources
from llm_inference_api.processes import child
from llm_inference_api.requests import sizes
from llm_inference_api.requests.adapters import parse_adapters
from llm_inference_api.requests.chat import Message
from llm_inference_api.requests.engine_config import EngineConfig
from llm_inference_api.requests.events import Progress, Stage
from llm_inference_api.requests.inquiry import Embed, Input, Render, Tokenize
from llm_inference_api.requests.model_status import ModelStatus, Observer, State
from llm_inference_api.requests.reference import parse_references
from llm_inference_api.requests.request import GenerationRequest, Sampling, Stopping
from llm_inference_api.requests.step import Delta, StepStats
from llm_inference_api.worker.client import WorkerClient
from tests.fakes.adapter import write_tiny_adapter
from tests.fakes.gguf import TEMPLATE, write_tiny_model
from tests.fakes.mail import of_model


class Recorder(Observer):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.states: list[State] = []
        self.waiting: dict[str, list[int]] = {}
        """How many requests wait for each model, each time that it changed."""
        self.loads = 0
        self.crashes = 0
        self.steps: list[StepStats] = []

    def stepped(self, model: str, stats: StepStats) -> None:
        self.steps.append(stats)

    def status_changed(self, status: ModelStatus) -> None:
        if self.states[-1:] != [status.state]:
            self.states.append(status.state)

    def awaits_load(self, model: str, requests: int) -> None:
        self.waiting.setdefault(model, []).append(requests)

    def loaded(self, model: str, seconds: float) -> None:
        self.loads += 1

    def crashed(self, model: str) -> None:
        self.crashes += 1


def policy(directory: Path, **changes: Any) -> Policy:
    engine = EngineConfig(directory, threads=1, slots=2, default_max_tokens=10, queue_timeout=30.0)
    sources = Sources(directory, directory / "cache", HubOptions({}))
    return replace(Policy(sources, MemoryBudget(4 << 30, None, patience=10.0), engine, queue_length=8), **changes)


@asynccontextmanager
async def registry(
    models: str, directory: Path, recorder: Observer | None = None, **changes: Any
) -> AsyncIterator[Registry]:
    built = build_registry(parse_references(models), policy(directory, **changes), recorder or Observer())
    yield built
    await built.close()


def request(name: str = "a", max_tokens: int = 5, prompt: str | tuple[Message, ...] = "hello") -> GenerationRequest:
    return GenerationRequest(name, prompt, Sampling(seed=1), Stopping(max_tokens, (), ignore_eos=True))


async def until_submitted(client: WorkerClient) -> None:
    while client.idle:  # noqa: ASYNC110 - as many turns of the loop as the request needs
        await asyncio.sleep(0)


async def until_counted(recorder: Recorder, model: str, counts: list[int]) -> None:
    async with asyncio.timeout(20):
        while recorder.waiting.get(model) != counts:  # noqa: ASYNC110 - as many turns of the loop as the count needs
            await asyncio.sleep(0)


async def complete(model: ServedModel, item: GenerationRequest) -> list[Delta | Progress]:
    async with aclosing(of_model(model, item)) as items:
        return [part async for part in items]


async def until(model: ServedModel, holds: Callable[[ModelStatus], bool]) -> ModelStatus:
    async with asyncio.timeout(20), aclosing(model.watch()) as statuses:
        async for status in statuses:
            if holds(status):
                return status
    raise AssertionError


async def test_first_request_loads_the_model(model_directory: Path) -> None:
    """A model that is not in memory is loaded by whoever needs it first, once for all that wait."""
    recorder = Recorder()
    async with registry("tiny.gguf", model_directory, recorder) as models:
        model = models.get("tiny.gguf")
        await asyncio.gather(*(complete(model, request(f"r{index}")) for index in range(8)))
    assert recorder.loads == 1
    assert recorder.states[:3] == [State.UNLOADED, State.LOADING, State.ACTIVE]
    counts = recorder.waiting["tiny.gguf"]
    assert counts[:8] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert counts[-1] == 0


async def test_adapters_take_room_in_the_memory(tmp_path: Path) -> None:
    """They are loaded with their model, and are accounted for with it."""
    path = write_tiny_model(tmp_path / "tiny.gguf")
    size = write_tiny_adapter(tmp_path / "a.gguf", path).stat().st_size
    taken = []
    for adapters in ("", "tiny.gguf:a=a.gguf"):
        async with registry("tiny.gguf", tmp_path, adapters=parse_adapters(adapters)) as models:
            await models.get("tiny.gguf").load()
            taken.append(models.get("tiny.gguf").status.memory)
    assert taken[1] == taken[0] + size


async def test_stream_says_that_the_model_is_loading(model_directory: Path) -> None:
    """Whoever waits for a load hears so at the interval."""
    async with (
        registry("tiny.gguf", model_directory) as models,
        aclosing(of_model(models.get("tiny.gguf"), request(), 0.01)) as items,
    ):
        assert await anext(items) == Progress(Stage.LOADING)


async def test_caller_that_leaves_does_not_stop_the_load(model_directory: Path) -> None:
    """A load goes on for the others when the caller that began it leaves."""
    async with registry("tiny.gguf", model_directory) as models:
        model = models.get("tiny.gguf")
        items = of_model(model, request(), 0.01)
        await anext(items)
        await items.aclose()
        assert (await until(model, lambda status: status.state is not State.LOADING)).state is State.ACTIVE


async def test_unload_goes_on_where_its_caller_leaves(model_directory: Path) -> None:
    """A caller who hangs up in the middle leaves a model that can be loaded again."""
    async with registry("tiny.gguf", model_directory) as built:
        model = built.get("tiny.gguf")
        await model.load()
        async with aclosing(of_model(model, request(max_tokens=30))) as items:
            await anext(items)
            unload = asyncio.ensure_future(model.unload())
            await until(model, lambda status: status.state is State.UNLOADING)
            unload.cancel()
            async for _ in items:
                pass
        async for status in model.watch():
            if status.state is State.UNLOADED:
                break
        await model.load()
        assert model.status.state is State.ACTIVE


async def test_unload_waits_for_open_requests(model_directory: Path) -> None:
    """A model leaves the memory when its requests have ended whole; who comes meanwhile waits for its next load."""
    async with registry("tiny.gguf", model_directory) as models:
        model = models.get("tiny.gguf")
        items = of_model(model, request(max_tokens=500))
        await anext(items)
        unload = asyncio.ensure_future(model.unload())
        await until(model, lambda status: status.state is State.UNLOADING)
        late = asyncio.ensure_future(complete(model, request("late")))
        rest = [item async for item in items]
        await unload
        assert isinstance(rest[-1], Delta)
        assert rest[-1].finish_reason is not None
        assert await late
        await model.unload()
        assert model.status.state is State.UNLOADED
        assert await complete(model, request("again"))


async def test_unload_that_takes_longer_than_the_queue_time_refuses(model_directory: Path) -> None:
    """Whoever waits for the next load hears that the last answers have not ended."""
    memory = MemoryBudget(4 << 30, None, patience=0.05)
    async with registry("tiny.gguf", model_directory, memory=memory) as models:
        model = models.get("tiny.gguf")
        async with aclosing(of_model(model, request(max_tokens=1900))) as items:
            await anext(items)
            unload = asyncio.ensure_future(model.unload())
            await until(model, lambda status: status.state is State.UNLOADING)
            with pytest.raises(UnavailableError, match="being unloaded"):
                await complete(model, request("late"))
        await unload


async def test_unload_during_a_load_serves_first_who_waited_for_it(model_directory: Path) -> None:
    """Nobody is refused: the load was begun for them."""
    recorder = Recorder()
    async with registry("tiny.gguf", model_directory, recorder) as models:
        model = models.get("tiny.gguf")
        waiting = [asyncio.ensure_future(complete(model, request(f"r{index}"))) for index in range(5)]
        await until(model, lambda status: status.state is State.LOADING)
        await model.unload()
        assert all([await answer for answer in waiting])
        assert (recorder.loads, model.status.state) == (1, State.UNLOADED)


@pytest.mark.parametrize("leaves_first", [True, False])
async def test_unload_gives_up_a_load_that_nobody_waits_for(
    model_directory: Path, monkeypatch: pytest.MonkeyPatch, *, leaves_first: bool
) -> None:
    """Nor has it to wait for the time in which a load that hangs is ended."""

    async def provide_never(*_: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Sources, "provide", provide_never)
    async with registry("tiny.gguf", model_directory) as models:
        model = models.get("tiny.gguf")
        caller = asyncio.ensure_future(model.load())
        await until(model, lambda status: status.state is State.LOADING)
        if leaves_first:
            caller.cancel()
            await asyncio.wait({caller})
        unload = asyncio.ensure_future(model.unload())
        await asyncio.sleep(0)
        caller.cancel()
        async with asyncio.timeout(20):
            await unload
        assert model.status.state is State.UNLOADED


@pytest.mark.parametrize(("store", "is_used"), [(None, True), (0, False)])
async def test_worker_has_the_store_that_was_sized(model_directory: Path, store: int | None, *, is_used: bool) -> None:
    """By default one of the size that is claimed for it beside the cache."""
    recorder = Recorder()
    engine = replace(policy(model_directory).engine, prefix_store=store)
    async with registry("tiny.gguf", model_directory, recorder, engine=engine) as models:
        for name in ("first", "second"):
            await complete(models.get("tiny.gguf"), request(name, max_tokens=2 * MIN_SHARED_TOKENS))
    assert any(stats.stored_bytes for stats in recorder.steps) == is_used


async def test_concurrent_unloads_are_one(model_directory: Path) -> None:
    """Both return when the memory is free."""
    recorder = Recorder()
    async with registry("tiny.gguf", model_directory, recorder) as models:
        model = models.get("tiny.gguf")
        await model.load()
        await asyncio.gather(model.unload(), model.unload())
    assert recorder.states.count(State.UNLOADING) == 1


async def test_worker_that_dies_while_it_is_unloaded_is_not_restarted(model_directory: Path) -> None:
    """Its requests fail, and the model is unloaded as it was told."""
    recorder = Recorder()
    async with registry("tiny.gguf", model_directory, recorder) as models:
        model = models.get("tiny.gguf")
        pid = (await model.load()).pid
        items = of_model(model, request(max_tokens=500))
        await anext(items)
        unload = asyncio.ensure_future(model.unload())
        await until(model, lambda status: status.state is State.UNLOADING)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(UnavailableError, match="signal 9"):
            async for _ in items:
                pass
        await unload
        assert model.status.state is State.UNLOADED
        assert State.FAILED not in recorder.states
        assert await complete(model, request("again"))


async def test_models_in_constant_use_share_room_for_one(model_directory: Path) -> None:
    """They take turns: each request is answered, also where no model would ever be idle."""
    memory = MemoryBudget(4 << 30, 1, patience=20.0)
    names = ("a", "b", "c")
    served = dict.fromkeys(names, 0)
    async with registry(",".join(f"{name}=tiny.gguf" for name in names), model_directory, memory=memory) as models:

        async def call_again_and_again(caller: int, name: str) -> None:
            while not all(served.values()):
                await complete(models.get(name), request(f"{caller} {served[name]}", max_tokens=30))
                served[name] += 1

        async with asyncio.timeout(120):
            await asyncio.gather(*(call_again_and_again(caller, names[caller % 3]) for caller in range(6)))


async def test_request_that_no_model_makes_room_for_is_refused_after_the_queue_time(model_directory: Path) -> None:
    """The model is not failed by that, and its load ends with its last caller."""
    memory = MemoryBudget(4 << 30, 1, patience=0.1)
    async with registry("a=tiny.gguf,b=tiny.gguf", model_directory, memory=memory) as models:
        async with aclosing(of_model(models.get("a"), request(max_tokens=2000))) as items:
            await anext(items)
            with pytest.raises(OverloadedError, match="all models in memory are busy") as refused:
                await complete(models.get("b"), request())
            assert refused.value.retry_after == 0.1
            await until(models.get("b"), lambda status: status.state is State.UNLOADED)
        assert await complete(models.get("b"), request())


async def test_request_that_waits_for_room_is_queued(model_directory: Path) -> None:
    """Its model is not being loaded; it and those that come after it are counted, until the last one leaves."""
    memory, recorder = MemoryBudget(4 << 30, 1, patience=1000.0), Recorder()
    async with registry("a=tiny.gguf,b=tiny.gguf", model_directory, recorder, memory=memory) as models:
        busy, waiting = models.get("a"), models.get("b")
        async with aclosing(of_model(busy, request(max_tokens=2000))) as items:
            await anext(items)
            async with aclosing(of_model(waiting, request(), 0.01)) as first:
                async with asyncio.timeout(20):
                    while await anext(first) != Progress(Stage.QUEUED):
                        pass
                assert waiting.status.state is State.UNLOADED
                assert "waits for other models" in waiting.status.reason
                second = asyncio.ensure_future(complete(waiting, request()))
                await until_counted(recorder, "b", [1, 2])
                second.cancel()
                await until_counted(recorder, "b", [1, 2, 1])
            await until(waiting, lambda status: not status.reason)
            assert recorder.waiting["b"][-1] == 0
        assert busy.status.state is State.ACTIVE
        assert waiting.status.state is State.UNLOADED


async def test_room_is_made_for_somebody_only(model_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A load whose callers have left while its files were looked for unloads no other model, not even an idle one."""
    memory, found = MemoryBudget(4 << 30, 1, patience=10.0), asyncio.Event()
    provide = Sources.provide

    async def provide_late(*arguments: Any) -> Any:
        await found.wait()
        return await provide(*arguments)

    async with registry("a=tiny.gguf,b=tiny.gguf", model_directory, memory=memory) as models:
        await models.get("a").load()
        monkeypatch.setattr(Sources, "provide", provide_late)
        caller = asyncio.ensure_future(models.get("b").load())
        await until(models.get("b"), lambda status: status.state is State.LOADING)
        caller.cancel()
        await asyncio.wait({caller})
        found.set()
        # With a reason it waits for room.
        await until(models.get("b"), lambda status: status.state is State.UNLOADED and not status.reason)
        assert models.get("a").status.state is State.ACTIVE


async def test_caller_that_waits_for_a_load_hears_that_the_service_stops(model_directory: Path) -> None:
    """As whoever has a request in a worker does."""
    async with registry("tiny.gguf", model_directory) as models:
        waiting = asyncio.ensure_future(complete(models.get("tiny.gguf"), request()))
        await until(models.get("tiny.gguf"), lambda status: status.state is State.LOADING)
        await models.close()
        with pytest.raises(UnavailableError, match="the service is stopping"):
            await waiting
        with pytest.raises(UnavailableError, match="the service is stopping"):
            await models.get("tiny.gguf").load()


async def test_request_loads_no_model_where_it_may_not(model_directory: Path) -> None:
    """Where only `load` does, requests are refused before and after; a process that died is replaced all the same."""
    async with registry("tiny.gguf", model_directory, load_on_request=False) as models:
        model = models.get("tiny.gguf")
        for work in (complete(model, request()), model.embed(Embed((Input("texts[0]", "hello"),)))):
            with pytest.raises(UnsupportedError, match=r"is not loaded, and requests do not load it here"):
                await work
        client = await model.load()
        assert await complete(model, request())
        assert client.pid is not None
        os.kill(client.pid, signal.SIGKILL)
        await until(model, lambda status: status.state is State.FAILED)
        assert await complete(model, request())
        await model.unload()
        with pytest.raises(UnsupportedError) as refused:
            await complete(model, request())
        assert refused.value.reason == "MODEL_NOT_LOADED"
        assert model.status.state is State.UNLOADED


async def test_download_is_shared_and_waited_for_by_a_load(
    model_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on without its callers; what is being downloaded is neither deleted nor loaded at the same time."""
    begun, found, calls = asyncio.Event(), asyncio.Event(), 0

    async def provide_late(*_: Any) -> ModelFiles:
        nonlocal calls
        calls += 1
        begun.set()
        await found.wait()
        return ModelFiles((model_directory / "tiny.gguf",))

    monkeypatch.setattr(Sources, "provide", provide_late)
    async with registry("m=org/model:m.gguf", model_directory) as models:
        model = models.get("m")
        first, second = (asyncio.ensure_future(model.download()) for _ in range(2))
        await begun.wait()
        load = asyncio.ensure_future(model.load())
        first.cancel()
        await asyncio.wait({first})
        with pytest.raises(UnsupportedError, match="unload it first"):
            await models.delete_files(model)
        assert (calls, second.done(), load.done()) == (1, False, False)
        found.set()
        await second
        await load
        assert (calls, model.status.state) == (2, State.ACTIVE)


async def test_download_that_fails_says_so_to_its_caller(model_directory: Path) -> None:
    """The model is not failed by it: a request may find the files all the same."""
    async with registry("missing.gguf", model_directory) as models:
        model = models.get("missing.gguf")
        with pytest.raises(ModelFailedError, match="does not exist"):
            await model.download()
        assert model.status.state is State.UNLOADED


async def test_download_ends_with_the_service(model_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a load does, and no other begins."""

    async def provide_never(*_: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Sources, "provide", provide_never)
    async with registry("tiny.gguf", model_directory) as models:
        model = models.get("tiny.gguf")
        download = asyncio.ensure_future(model.download())
        await asyncio.sleep(0)
        await models.close()
        with pytest.raises(UnavailableError, match="the service is stopping"):
            await download
        with pytest.raises(UnavailableError, match="the service is stopping"):
            await model.download()


async def test_load_that_hangs_fails_and_frees_its_place(tmp_path: Path) -> None:
    """A model whose template never ends is given up, and the next one is loaded in its place."""
    endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    write_tiny_model(tmp_path / "endless.gguf", template=endless)
    write_tiny_model(tmp_path / "plain.gguf")
    engine = replace(policy(tmp_path).engine, step_timeout=1.0, load_timeout=1.0)
    memory = MemoryBudget(4 << 30, 1, patience=10.0)
    async with registry("endless.gguf,plain.gguf", tmp_path, engine=engine, memory=memory) as models:
        with pytest.raises(ModelFailedError, match="the loading made no progress"):
            await models.get("endless.gguf").load()
        await models.get("endless.gguf").unload()
        # A real load takes longer than a second on a busy machine.
        models.get("plain.gguf")._policy = policy(tmp_path, memory=memory)
        assert await complete(models.get("plain.gguf"), request())


async def test_costly_template_costs_its_chats_only(tmp_path: Path) -> None:
    """The model is loaded, and a chat that sends its template astray is refused; the next one is rendered."""
    template = "{% if messages[0].content == 'x' * 3 %}{{ 'a'.ljust(1500000000) }}{% endif %}" + TEMPLATE
    write_tiny_model(tmp_path / "costly.gguf", template=template)
    async with registry("costly.gguf", tmp_path) as models:
        model = models.get("costly.gguf")
        with pytest.raises(InvalidFieldError, match="messages: the model's chat template fails on them: MemoryError"):
            await model.inquire(Render(request(prompt=(Message("user", "xxx"),))))
        assert await model.inquire(Render(request(prompt=(Message("user", "hi"),))))


async def test_large_files_have_more_time_to_be_read(model_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """llama.cpp says nothing while the system reads a file that it maps."""
    monkeypatch.setattr(subject, "_SLOWEST_READ", 1000)
    async with registry("tiny.gguf", model_directory) as models:
        client = await models.get("tiny.gguf").load()
        size = (model_directory / "tiny.gguf").stat().st_size
        assert client._config.load_timeout == 300.0 + size // 1000


async def test_failed_load_backs_off(model_directory: Path) -> None:
    """A file that cannot be loaded is tried again by the next request, then not for a while; the reason stays."""
    recorder = Recorder()
    async with registry("garbage.gguf", model_directory, recorder) as models:
        model = models.get("garbage.gguf")
        for _ in range(4):
            with pytest.raises(ModelFailedError, match="is not a GGUF file"):
                await model.load()
    assert recorder.states.count(State.LOADING) == 2
    assert "is not a GGUF file" in model.status.reason


async def test_refused_callers_of_a_failed_load_are_forgotten(model_directory: Path) -> None:
    """Each gets an error of its own: a shared one would keep the frames of all callers, with what they asked for."""

    class Asked:
        """What a caller's frame holds."""

    async def refused() -> weakref.ref[Asked]:
        asked = Asked()
        with pytest.raises(ModelFailedError):
            await complete(model, request())
        return weakref.ref(asked)

    async with registry("garbage.gguf", model_directory) as models:
        model = models.get("garbage.gguf")
        together = await asyncio.gather(*(refused() for _ in range(3)))  # They wait for one load.
        await refused()
        alone = [await refused() for _ in range(3)]  # The model is in back-off.
        gc.collect()
        assert [asked() for asked in (*together, *alone)] == [None] * 6
        assert model._error is not None
        assert model._error.__traceback__ is None


async def cut_off(model: ServedModel, pid: int | None) -> None:
    """Kills the worker once its reader has some of the request's answer, and not all."""
    assert pid is not None
    items = of_model(model, request(max_tokens=1500))
    await anext(items)
    os.kill(pid, signal.SIGKILL)
    async for _ in items:
        pass


async def test_answered_request_is_no_suspect(model_directory: Path) -> None:
    """A request that two unrelated crashes cut off, but that was answered between them, is not the one that crashes."""
    async with registry("tiny.gguf", model_directory) as models:
        model = models.get("tiny.gguf")
        for _ in range(2):
            client = await model.load()
            with pytest.raises(UnavailableError):
                await cut_off(model, client.pid)
            await until(model, lambda status: status.state is State.ACTIVE)
            assert [item async for item in of_model(model, request(max_tokens=1500))]


async def test_dead_worker_is_replaced_at_once_and_then_ever_later(model_directory: Path) -> None:
    """The first crash costs no waiting; the next ones do, so that a crash loop does not eat the machine."""
    recorder = Recorder()
    async with registry("tiny.gguf", model_directory, recorder) as models:
        model = models.get("tiny.gguf")
        client = await model.load()
        for _ in range(2):
            assert client.pid is not None
            os.kill(client.pid, signal.SIGKILL)
            await until(model, lambda status: status.state is State.FAILED)
            if recorder.crashes == 1:
                await until(model, lambda status: status.state is State.ACTIVE)
                client = await model.load()
        refusals = []
        for _ in range(2):
            with pytest.raises(
                UnavailableError, match=r"^[^(]*restarted: its process ended \(killed by [^(]*\)$"
            ) as got:
                await model.load()
            refusals.append(got.value)
        # One object for all would keep the frames, and with them the requests, of all whom it was raised to.
        assert refusals[0] is not refusals[1]
        assert 0 < refusals[1].retry_after <= refusals[0].retry_after <= 1.0
        await until(model, lambda status: status.state is State.ACTIVE)
    assert recorder.crashes == 2


async def test_process_that_the_system_cannot_start_is_tried_again(
    model_directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One line says what is exhausted; the model serves once it is there again."""

    def refuse(*arguments: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    async with registry("tiny.gguf", model_directory) as models:
        model = models.get("tiny.gguf")
        with monkeypatch.context() as patch:
            patch.setattr(child, "spawn", refuse)
            with pytest.raises(UnavailableError, match="Too many open files") as refused:
                await model.load()
        assert refused.value.reason == "RESOURCES_EXHAUSTED"
        (record,) = (record for record in caplog.records if record.levelname == "ERROR")
        assert record.exc_info is None
        assert await complete(model, request())


async def test_retry_advice_is_the_rest_of_the_back_off(model_directory: Path) -> None:
    """For those that come during the back-off and do not wait for its end."""
    async with registry("tiny.gguf", model_directory) as models:
        model = models.get("tiny.gguf")
        model._failures = 5
        client = await model.load()
        assert client.pid is not None
        os.kill(client.pid, signal.SIGKILL)
        async with aclosing(model.watch()) as statuses:
            await anext(status async for status in statuses if status.state is State.FAILED)
        with pytest.raises(UnavailableError) as refused:
            await model.load()
    assert 8 < refused.value.retry_after <= 16


async def test_ids_are_matched_exactly(model_directory: Path) -> None:
    """A name that is not on the list is unknown; no name is enough where there is one model only."""
    async with (
        registry("tiny.gguf", model_directory) as one,
        registry("a=tiny.gguf,b=tiny.gguf", model_directory) as two,
    ):
        assert one.get("").status.id == "tiny.gguf"
        for name in ("tiny", "Tiny.gguf", "tiny.gguf "):
            with pytest.raises(ModelNotFoundError):
                one.get(name)
        with pytest.raises(InvalidFieldError, match="model: is missing"):
            two.get("")


async def test_model_that_embeds_is_not_idle(model_directory: Path) -> None:
    """Embeddings keep a model in memory as answers do: unloading waits for them."""
    async with registry("tiny.gguf", model_directory) as models:
        model = models.get("tiny.gguf")
        await model.load()
        embedding = asyncio.create_task(model.embed(Embed((Input("texts[0]", "x" * 2000),) * 3)))
        while model.idle:  # noqa: ASYNC110 - as many turns of the loop as the task needs
            await asyncio.sleep(0)
        await model.unload()
        assert embedding.done()
        assert len(await embedding) == 3


async def test_embeddings_that_fit_no_response_are_refused_beforehand(
    model_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the model is loaded its width is known: 3 x 64 numbers are more than 191."""
    monkeypatch.setattr(sizes, "MAX_EMBEDDED_NUMBERS", 191)
    async with registry("tiny.gguf", model_directory) as models:
        model, inputs = models.get("tiny.gguf"), tuple(Input(f"texts[{index}]", "hello") for index in range(3))
        with pytest.raises(InvalidFieldError, match=r"^texts: has 3 items, .* 64 numbers each; at most 2 items fit"):
            await model.embed(Embed(inputs))
        assert len(await model.embed(Embed(inputs[:2]))) == 2


async def test_embeddings_that_nobody_waits_for_leave_the_model_idle(model_directory: Path) -> None:
    """A caller that leaves frees the model at once, and the worker soon after."""
    async with registry("tiny.gguf", model_directory) as models:
        model = models.get("tiny.gguf")
        await model.load()
        embedding = asyncio.create_task(model.embed(Embed((Input("texts[0]", "x" * 2000),) * 128)))
        # The worker reads its messages in order: what answers this has the embeddings.
        await model.inquire(Tokenize("x", add_special=False, parse_special=False))
        embedding.cancel()
        await asyncio.wait({embedding})
        assert model.idle
        async with asyncio.timeout(10):
            assert len(await model.embed(Embed((Input("texts[0]", "x"),)))) == 1


async def test_worker_that_does_not_end_keeps_no_other() -> None:
    """All models are closed before the failure of one is raised."""
    closed = asyncio.Event()

    class Stuck:
        async def close(self) -> None:
            raise TimeoutError("it does not die")

    class Slow:
        async def close(self) -> None:
            await asyncio.sleep(0)
            closed.set()

    models: Any = {"stuck": Stuck(), "slow": Slow()}
    with pytest.raises(ExceptionGroup) as failed:
        await Registry(models).close()
    assert [str(error) for error in failed.value.exceptions] == ["it does not die"]
    assert closed.is_set()
