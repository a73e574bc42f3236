"""What a crash of a model's process costs: real workers that certain requests end."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from llm_inference_api.errors import OverloadedError, PoisonRequestError, UnavailableError
from llm_inference_api.models import served_model as subject
from llm_inference_api.models.served_model import ServedModel
from llm_inference_api.requests.inquiry import Embed, Input, Tokenize
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.requests.step import Delta
from llm_inference_api.worker.client import WorkerClient
from tests.fakes.mail import of_model
from tests.fakes.workers import die_of_poison
from tests.models.test_registry import Recorder, policy, registry, request


@asynccontextmanager
async def poisonable(
    directory: Path, monkeypatch: pytest.MonkeyPatch, *, fails_only: bool = False
) -> AsyncIterator[tuple[ServedModel, Recorder]]:
    """Yields a loaded model whose worker certain requests end, and what is recorded of it."""
    recorder = Recorder()
    target = partial(die_of_poison, fails_only=fails_only)
    monkeypatch.setattr(subject, "WorkerClient", partial(WorkerClient, target=target))
    engine = replace(policy(directory).engine, slots=4)
    async with registry("tiny.gguf", directory, recorder, engine=engine, queue_length=40) as models:
        model = models.get("tiny.gguf")
        await model.load()
        async with asyncio.timeout(60):
            yield model, recorder


async def answer(model: ServedModel, item: GenerationRequest) -> str:
    """Returns the text of the answer, of which nothing is read before the end."""
    stream = model.open(item, {})
    stream.is_sent_when_read = False
    text, attempt = "", 1
    try:
        while True:
            arrived = await stream.next(None)
            if stream.attempt != attempt:
                text, attempt = "", stream.attempt
            assert isinstance(arrived, tuple)
            text += "".join(delta.text for delta in arrived)
            if arrived[-1].finish_reason is not None:
                return text
    finally:
        stream.close()


def innocents(count: int, max_tokens: int = 60) -> list[GenerationRequest]:
    return [request(f"r{index}", max_tokens, f"prompt {index}") for index in range(count)]


async def test_poison_takes_nobody_with_it(model_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever was sent nothing yet is run again, in the poisoned step or in the queue; the poison is refused."""
    async with poisonable(model_directory, monkeypatch) as (model, recorder):
        bystanders = [asyncio.ensure_future(answer(model, item)) for item in innocents(12)]
        poison = asyncio.ensure_future(answer(model, request("poison", prompt="poison")))
        with pytest.raises(PoisonRequestError, match=r"failed 2 times .* with no other"):
            await poison
        assert all(await asyncio.gather(*bystanders))
        assert recorder.crashes == 2
        with pytest.raises(PoisonRequestError):
            model.open(request("again", prompt="poison"), {})
        assert recorder.crashes == 2


async def test_second_crash_finds_the_poison_alone(model_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that runs when a suspect comes back ends whole before the suspect is tried."""
    async with poisonable(model_directory, monkeypatch) as (model, recorder):
        model._suspects.crashed((request(prompt="poison"), request(prompt="other")))
        items = of_model(model, request("stream", 500, "hello"))
        await anext(items)
        with pytest.raises(PoisonRequestError):
            await answer(model, request("poison", prompt="poison"))
        rest = [item async for item in items]
        assert isinstance(rest[-1], Delta)
        assert rest[-1].finish_reason is not None
        assert recorder.crashes == 1


async def test_who_waits_is_no_suspect(model_directory: Path) -> None:
    """Of two slots and eight requests, the two that were computed are suspects, and none once all are answered."""
    async with registry("tiny.gguf", model_directory) as models:
        model = models.get("tiny.gguf")
        client = await model.load()
        items = of_model(model, request("a", 1500))
        await anext(items)
        waiting = [asyncio.ensure_future(answer(model, item)) for item in innocents(7, 5)]
        await asyncio.sleep(0)
        assert client.pid is not None
        os.kill(client.pid, signal.SIGKILL)
        with pytest.raises(UnavailableError):
            async for _ in items:
                pass
        assert 1 <= len(model._suspects) <= 2
        assert all(await asyncio.gather(*waiting))


async def test_equal_requests_and_several_answers_count_once(model_directory: Path) -> None:
    """One crash with the same content four times over is one crash: the one that was sent nothing is answered."""
    async with registry("tiny.gguf", model_directory) as models:
        model = models.get("tiny.gguf")
        client = await model.load()
        streams = [of_model(model, replace(request(f"r{index}", 1500), n=2 - index)) for index in range(2)]
        await anext(streams[0])
        assert client.pid is not None
        os.kill(client.pid, signal.SIGKILL)
        with pytest.raises(UnavailableError):
            async for _ in streams[0]:
                pass
        assert [item async for item in streams[1]]
        assert not model._suspects


async def test_request_that_cannot_be_prepared_is_the_suspect(
    model_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tokenizer or template may be what crashes: the request that it had is refused in the end, no other."""
    async with poisonable(model_directory, monkeypatch) as (model, recorder):
        bystanders = [asyncio.ensure_future(answer(model, item)) for item in innocents(4)]
        with pytest.raises(PoisonRequestError):
            await answer(model, request("bad", prompt="unpreparable"))
        assert all(await asyncio.gather(*bystanders))
        assert recorder.crashes == 2


async def test_poisonous_embedding_is_refused(model_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Embeddings and inquiries are run again too, and the embedding that crashes is refused."""
    async with poisonable(model_directory, monkeypatch) as (model, recorder):
        good = asyncio.ensure_future(model.embed(Embed((Input("texts[0]", "hello"),))))
        asked = asyncio.ensure_future(model.inquire(Tokenize("hello", add_special=False, parse_special=False)))
        for _ in range(2):
            with pytest.raises(PoisonRequestError):
                await model.embed(Embed((Input("texts[0]", "poison"),)))
        assert await good
        assert await asked
        assert recorder.crashes == 2


async def test_step_that_fails_costs_its_poison_only(model_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that fails without a crash loses its requests as a crash does."""
    async with poisonable(model_directory, monkeypatch, fails_only=True) as (model, recorder):
        bystanders = [asyncio.ensure_future(answer(model, item)) for item in innocents(4)]
        with pytest.raises(PoisonRequestError):
            await answer(model, request("poison", prompt="poison"))
        assert all(await asyncio.gather(*bystanders))
        assert recorder.crashes == 0


async def test_newcomer_waits_for_the_restart(model_directory: Path) -> None:
    """The back-off of a crash is a wait within the queue's timeout, and no refusal."""
    async with registry("tiny.gguf", model_directory) as models:
        model = models.get("tiny.gguf")
        for _ in range(2):
            client = await model.load()
            assert client.pid is not None
            os.kill(client.pid, signal.SIGKILL)
            await client._gone.wait()
            assert await answer(model, request("newcomer"))


async def test_stream_that_was_read_is_not_run_again(model_directory: Path) -> None:
    """Its reader is told that the process ended; nothing is sent twice."""
    async with registry("tiny.gguf", model_directory) as models:
        model = models.get("tiny.gguf")
        client = await model.load()
        items = of_model(model, request("a", 1500))
        await anext(items)
        assert client.pid is not None
        os.kill(client.pid, signal.SIGKILL)
        with pytest.raises(UnavailableError, match="killed by signal 9"):
            async for _ in items:
                pass


async def test_queue_behind_a_suspect_is_bounded(model_directory: Path) -> None:
    """While a suspect is computed alone, as many wait as slots and queue hold; more are refused at once."""
    async with registry("tiny.gguf", model_directory, queue_length=1) as models:
        model = models.get("tiny.gguf")
        await model.load()
        model._suspects.crashed([request(max_tokens=1500)])
        suspect = of_model(model, request(max_tokens=1500))
        await anext(suspect)
        waiting = [asyncio.ensure_future(answer(model, item)) for item in innocents(3)]
        while model._behind_suspects < 3:  # noqa: ASYNC110 - as many turns of the loop as the tasks need
            await asyncio.sleep(0)
        with pytest.raises(OverloadedError, match="3 requests are waiting"):
            await answer(model, request("more", prompt="more"))
        await suspect.aclose()
        assert all(await asyncio.gather(*waiting))


async def test_suspect_that_leaves_while_it_waits_holds_up_nobody(model_directory: Path) -> None:
    """Its caller cancels before the worker has nothing else: the next one has its turn."""
    async with registry("tiny.gguf", model_directory) as models:
        model = models.get("tiny.gguf")
        items = of_model(model, request("stream", 1500, "stream"))
        await anext(items)
        model._suspects.crashed([request()])
        suspect = asyncio.ensure_future(answer(model, request()))
        while not model._turn.locked():  # noqa: ASYNC110 - as many turns of the loop as the task needs
            await asyncio.sleep(0)
        suspect.cancel()
        await asyncio.wait({suspect})
        async with asyncio.timeout(30):
            assert await answer(model, request("next", prompt="next"))
        await items.aclose()
