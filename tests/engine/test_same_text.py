"""The same request is computed to the last bit alike, with the demo on a CPU."""

import random
from pathlib import Path

import pytest

from llm_inference_api.requests.bundled import BUNDLED
from tests.engine.in_process import Answer, InProcess
from tests.fakes.gguf import write_tiny_model

LONG = "The keeper wrote down what he saw from the tower, hour by hour, and kept the pages dry. " * 8
"""Of more tokens than a tile of llama.cpp's attention has rows, which is 64."""
PROMPTS = ("Who wrote Hamlet?", LONG, f"{LONG}What did he see?", "Once upon a time")
TOKENS = 12


@pytest.fixture(scope="module")
def demo() -> Path:
    path = BUNDLED["demo"].path()
    assert path is not None
    return path


def ask(engine: InProcess, prompt: str, temperature: float) -> Answer:
    """Returns the answer of a request that runs alone."""
    answer = engine.submit(f"request {len(engine.answers)}", None, TOKENS, 7, prompt=prompt, temperature=temperature)
    engine.finish()
    assert answer.error is None
    return answer


def said(answer: Answer) -> tuple[str, list[float]]:
    """Returns what is compared: the text, and the tokens' log probabilities to the last bit."""
    return answer.text, answer.logprobs


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of random weights in F32, of which a batch of one row is computed by another kernel."""
    return write_tiny_model(tmp_path_factory.mktemp("wide") / "wide.gguf", width=512)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("prompt", PROMPTS)
def test_cached_prompt_gives_the_same_text(demo: Path, prompt: str, temperature: float) -> None:
    """A prompt that the cache holds is answered as when it was computed, greedily and with a seed."""
    engine = InProcess(demo)
    assert said(ask(engine, prompt, temperature)) == said(ask(engine, prompt, temperature))


def test_chunks_do_not_change_the_text(demo: Path) -> None:
    """A prompt in chunks of 64 rows is answered as one that is computed at once."""
    assert said(ask(InProcess(demo, batch_tokens=64), LONG, 1.0)) == said(ask(InProcess(demo), LONG, 1.0))


def test_other_requests_do_not_change_the_text(demo: Path) -> None:
    """A request beside others, which come and go, is answered as alone."""
    alone = [said(ask(InProcess(demo), prompt, 1.0)) for prompt in PROMPTS]
    engine = InProcess(demo)
    answers = []
    for number, prompt in enumerate(PROMPTS):
        answers.append(engine.submit(f"compared {number}", None, TOKENS, 7, prompt=prompt))
        engine.submit(f"beside {number}", None, 5, number, prompt=f"{number} {LONG[: 100 * number]}")
        engine.step()
        engine.step()
    engine.finish()
    assert [said(answer) for answer in answers] == alone


def test_filled_cache_does_not_change_the_text(demo: Path) -> None:
    """After many requests, several at a time, in a cache that holds few of them, the text is that of an empty one."""
    alone = {prompt: said(ask(InProcess(demo), prompt, 1.0)) for prompt in PROMPTS}
    engine = InProcess(demo, slots=3, cache_tokens=1024)
    choice = random.Random(3)
    for turn in range(12):
        for other in range(choice.randint(0, 3)):
            beside = f"{choice.choice(PROMPTS)[: choice.randint(5, 700)]} {turn} {other}"
            engine.submit(f"beside {turn} {other}", None, choice.randint(1, 30), turn, prompt=beside)
        engine.finish()
        prompt = PROMPTS[turn % len(PROMPTS)]
        assert said(ask(engine, prompt, 1.0)) == alone[prompt]


def test_prefix_above_free_cells_gives_the_same_text(demo: Path) -> None:
    """A prompt goes on behind a cached prefix although an eviction has freed cells that come before the prefix's."""
    prompt = f"{LONG}What did he see? {' '.join(reversed(LONG.split()))}"
    alone = ask(InProcess(demo), prompt, 1.0)
    engine = InProcess(demo, slots=2, cache_tokens=1024)
    ask(engine, "Something else was written here. " * 30, 1.0)
    ask(engine, LONG, 1.0)
    answer = engine.submit("large", None, 250, 7, prompt=prompt)
    assert answer.error is None
    while len(answer.logprobs) < TOKENS:
        engine.step()
    assert answer.logprobs[:TOKENS] == alone.logprobs


def test_second_turn_gives_the_same_text_from_the_cache(demo: Path) -> None:
    """A prompt that goes on behind an answer, computed token by token, is answered as in an empty cache."""
    engine = InProcess(demo)
    second = f"{LONG}{ask(engine, LONG, 0.0).text} And then?"
    assert said(ask(engine, second, 0.0)) == said(ask(InProcess(demo), second, 0.0))


def test_rows_that_depend_on_their_batch_give_the_same_text_alone(wide: Path) -> None:
    """The same chunks are computed whatever the cache holds, after requests beside each other too."""
    prompt = LONG[:150]
    alone = said(ask(InProcess(wide), prompt, 1.0))
    engine = InProcess(wide)
    for number in range(3):
        engine.submit(f"beside {number}", None, 20, number, prompt=f"{prompt[: 60 * number]}{number}")
    engine.finish()
    assert [said(ask(engine, prompt, 1.0)) for _ in range(2)] == [alone] * 2
    second = f"{prompt}{alone[0]} And then?"
    assert said(ask(engine, second, 1.0)) == said(ask(InProcess(wide), second, 1.0))


STORE = 1 << 28
"""Bytes; more than all prefixes here take."""


def test_prefixes_from_the_store_give_the_same_text(demo: Path) -> None:
    """In turns of conversations that go on beside each other, in a cache that holds two of them."""
    conversations = [f"{name}: {LONG[: 200 * number]}" for number, name in enumerate(("Ada", "Bo", "Cy", "Di"), 1)]
    engine = InProcess(demo, slots=2, cache_tokens=1024, prefix_store=STORE)
    for turn in range(3):
        answers = [
            engine.submit(f"{turn} {number}", None, TOKENS, 7, prompt=prompt, temperature=0.0)
            for number, prompt in enumerate(conversations)
        ]
        engine.finish()
        alone = [said(ask(InProcess(demo), prompt, 0.0)) for prompt in conversations]
        assert [said(answer) for answer in answers] == alone
        conversations = [
            f"{prompt}{answer.text} {turn}?" for prompt, answer in zip(conversations, answers, strict=True)
        ]
    assert sum(answer.cached for answer in engine.answers.values()) > 1000
    assert engine.stats.stored_tokens > 500


def test_prefix_from_the_store_gives_the_same_text_alone(demo: Path) -> None:
    """After another request has had all cells."""
    engine = InProcess(demo, slots=1, cache_tokens=1024, prefix_store=STORE)
    first = ask(engine, LONG, 0.0)
    ask(engine, "Something else was written here. " * 60, 0.0)
    second = f"{LONG}{first.text} And then?"
    answer = ask(engine, second, 0.0)
    assert said(answer) == said(ask(InProcess(demo), second, 0.0))
    assert answer.cached > 100


def test_blocks_of_rows_are_the_same_from_the_store(wide: Path) -> None:
    """Where a row depends on its batch, exact blocks alone are reused."""
    prompt = LONG[:150]
    alone = said(ask(InProcess(wide), prompt, 1.0))
    engine = InProcess(wide, slots=1, prefix_store=STORE)
    assert said(ask(engine, prompt, 1.0)) == alone
    ask(engine, "x" * 900, 1.0)
    again = ask(engine, prompt, 1.0)
    assert (said(again), again.cached > 0) == (alone, True)
