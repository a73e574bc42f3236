"""The real ctransformers with tiny models."""

import asyncio
import platform
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from llm_inference_api.backends.ggml import file as ggml_file
from llm_inference_api.backends.ggml.backend import GgmlBackend, GgmlModel
from llm_inference_api.engine.backend import BackendError, Row
from llm_inference_api.errors import ComputationError, InvalidFieldError, ModelFailedError
from llm_inference_api.requests.chat import Message
from llm_inference_api.requests.engine_config import EngineConfig
from llm_inference_api.requests.events import FinishReason
from llm_inference_api.requests.model_info import ModelInfo
from llm_inference_api.requests.request import GenerationRequest, Sampling, Stopping
from llm_inference_api.requests.step import Delta
from llm_inference_api.worker.client import WorkerClient
from tests.fakes.ggml import ARCHITECTURES, write_tiny_model
from tests.fakes.mail import of_client

pytestmark = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="ctransformers brings a library for x86-64 only"
)
GREEDY = Sampling(seed=0, temperature=0.0)


def load(path: Path) -> GgmlModel:
    return GgmlModel(path, ggml_file.read(path), None)


@pytest.fixture(scope="module")
def legacy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("legacy"))


@pytest.fixture(scope="module")
def model(legacy: Path) -> GgmlModel:
    return load(legacy)


@pytest.fixture
def backend(model: GgmlModel) -> GgmlBackend:
    return GgmlBackend(model, threads=1)


def feed(backend: GgmlBackend, tokens: list[int], start: int = 0) -> int:
    """Computes the tokens and returns the row of the last one."""
    last = len(tokens) - 1
    backend.forward([Row(token, start + at, 0, at == last) for at, token in enumerate(tokens)])
    return last


def continue_greedily(backend: GgmlBackend, prompt: list[int], count: int, start: int = 0) -> list[int]:
    sampler = backend.sampler(GREEDY, prompt, ignore_eos=False)
    row, tokens = feed(backend, prompt[start:], start), []
    for at in range(count):
        tokens.append(sampler.sample(row))
        row = feed(backend, tokens[-1:], len(prompt) + at)
    return tokens


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_greedy_tokens_are_those_of_ctransformers(tmp_path: Path, architecture: str) -> None:
    """Driven by our loop, each architecture says what it says driven by ctransformers' own."""
    model = load(write_tiny_model(tmp_path, architecture=architecture))
    backend = GgmlBackend(model, threads=1)
    prompt = model.vocabulary.tokenize("hello, world", add_special=True, parse_special=True)
    theirs = model.llm.generate(prompt, top_k=1, temperature=1.0, repetition_penalty=1.0, threads=1)
    expected = [next(theirs) for _ in range(30)]
    assert continue_greedily(backend, prompt, 30) == expected


def test_prefix_of_the_last_sequence_is_reused(backend: GgmlBackend) -> None:
    """A prompt that begins like the last sequence continues as if all of it had been computed."""
    prompt = list(b"the same beginning of two requests, then more")
    alone = continue_greedily(backend, prompt, 12)
    assert len(set(alone)) > 5
    continue_greedily(backend, [*prompt[:30], *b"another end"], 12)
    backend.truncate(0, 30)
    assert continue_greedily(backend, prompt, 12, start=30) == alone


def test_rows_that_do_not_continue_are_an_error(backend: GgmlBackend) -> None:
    """What ctransformers would compute at another position is refused."""
    feed(backend, [65, 66])
    for start, tokens in ((3, [67]), (2, [67] * 127)):
        with pytest.raises(BackendError, match=r"continue|holds 128"):
            feed(backend, tokens, start)
    backend.clear()
    with pytest.raises(BackendError, match="continue"):
        feed(backend, [67], 2)


def test_scores_that_are_no_numbers_are_an_error(tmp_path: Path) -> None:
    """Weights that are no numbers do not become quiet nonsense."""
    backend = GgmlBackend(load(write_tiny_model(tmp_path, value=float("nan"))), threads=1)
    row = feed(backend, [65])
    with pytest.raises(ComputationError, match="not finite"):
        backend.sampler(GREEDY, [65], ignore_eos=False).sample(row)


def test_end_of_a_long_context_is_computed(tmp_path: Path) -> None:
    """A context that needs more than the library's first 256 MiB does not crash the process.

    In a process of its own, since a crash would be the tests' end.
    """
    path = write_tiny_model(tmp_path, layers=60, width=64, context_length=20_000)
    program = f"""
from pathlib import Path
from llm_inference_api.backends.ggml import backend as ggml
from llm_inference_api.backends.ggml import file as ggml_file
path = Path({str(path)!r})
backend = ggml.GgmlBackend(ggml.GgmlModel(path, ggml_file.read(path), None), 1)
backend._eval([65], 19_999)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_missing_extra_is_explained(legacy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ctransformers the reason says how to install it."""
    monkeypatch.setitem(sys.modules, "ctransformers.llm", None)
    with pytest.raises(ModelFailedError, match=r"pip install 'llm-inference-api\[ggml\]'"):
        load(legacy)


@asynccontextmanager
async def running(path: Path) -> AsyncIterator[tuple[WorkerClient, ModelInfo]]:
    config = EngineConfig(path, threads=1, slots=4, default_max_tokens=20, queue_timeout=30.0)
    client = WorkerClient(config, 16, lambda fraction: None, lambda stats: None, lambda cause: None)
    try:
        yield client, await client.start()
    finally:
        await client.close()


async def complete(client: WorkerClient, request: GenerationRequest) -> list[Delta]:
    async with aclosing(of_client(client, request)) as items:
        return [item async for item in items if isinstance(item, Delta)]


def text(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


def request(name: str, prompt: str | tuple[Message, ...], sampling: Sampling = GREEDY) -> GenerationRequest:
    return GenerationRequest(name, prompt, sampling, Stopping(max_tokens=8, ignore_eos=True))


async def test_worker_answers_one_request_after_the_other(legacy: Path) -> None:
    """Requests that come together wait for the one seat, and get what they get alone; the prefix is shared."""
    async with running(legacy) as (client, info):
        assert (info.description, info.slots, info.context_length) == ("gpt2, legacy GGML", 1, 128)
        alone = await complete(client, request("alone", "hello, world"))
        assert alone[-1].finish_reason is FinishReason.LENGTH
        assert alone[-1].usage is not None
        assert alone[-1].usage[:3] == (12, 8, 0)
        together = await asyncio.gather(*(complete(client, request(f"r{at}", "hello, world")) for at in range(4)))
        assert list(map(text, together)) == [text(alone)] * 4
        assert [answer[-1].usage and answer[-1].usage[:3] for answer in together] == [(12, 8, 11)] * 4


async def test_worker_answers_chats_with_every_parameter(legacy: Path) -> None:
    """A chat becomes lines, and all sampling parameters are applied together."""
    sampling = Sampling(
        seed=5,
        temperature=1.2,
        top_p=0.9,
        top_k=50,
        min_p=0.01,
        typical_p=0.95,
        presence_penalty=0.1,
        frequency_penalty=0.1,
        repetition_penalty=1.1,
        logit_bias={65: 5.0},
        logprobs=2,
    )
    async with running(legacy) as (client, _):
        first, second = [
            await complete(client, request(name, (Message("user", "Grüße"),), sampling)) for name in ("a", "b")
        ]
    assert text(first) == text(second)
    entries = [entry for delta in first for entry in delta.logprobs]
    assert [len(entry.top_logprobs) for entry in entries] == [2] * 8


async def test_prompt_that_cannot_be_spelled_is_refused_by_name(tmp_path: Path) -> None:
    """The error names the field."""
    path = write_tiny_model(tmp_path, vocabulary=(*(bytes([byte]) for byte in range(128)), b"<|endoftext|>"))
    async with running(path) as (client, _):
        with pytest.raises(InvalidFieldError, match="0xc3"):
            await complete(client, request("a", "Grüße"))
        assert await complete(client, request("b", "Gruesse"))


async def test_file_that_cannot_be_loaded_is_explained(tmp_path: Path) -> None:
    """The worker says why, and ends."""
    path = write_tiny_model(tmp_path)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ModelFailedError, match="damaged"):
        async with running(path):
            pass


async def test_falcon_file_that_is_none_costs_its_worker_only(tmp_path: Path) -> None:
    """Files that are not read through beforehand may end the worker, and nothing else."""
    path = write_tiny_model(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "falcon"}')
    with pytest.raises(ModelFailedError, match=r"falcon|process ended"):
        async with running(path):
            pass
