"""The real library with tiny models."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from llm_inference_api.backends.llama.backend import (
    EXACT_BLOCK,
    EXACT_CHUNK,
    ContextSizes,
    LlamaBackend,
    LlamaModel,
    quantise_model,
)
from llm_inference_api.engine.backend import BackendError, Row
from llm_inference_api.engine.prompt_chunk import Chunk
from llm_inference_api.errors import ComputationError, ModelFailedError
from llm_inference_api.requests.bundled import BUNDLED
from llm_inference_api.requests.engine_config import GpuChoice
from llm_inference_api.requests.model_info import short_count
from llm_inference_api.requests.request import Sampling
from tests.fakes.gguf import CLEAR_PROMPTS, INFILL, write_tiny_model

GREEDY = Sampling(seed=0, temperature=0.0)


def load(path: Path) -> LlamaModel:
    return LlamaModel(path, GpuChoice(), on_progress=lambda fraction: None)


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> LlamaModel:
    return load(tiny_model)


@pytest.fixture
def backend(model: LlamaModel) -> Iterator[LlamaBackend]:
    backend = LlamaBackend(model, ContextSizes(cells=512, seats=8, batch_tokens=64, threads=1))
    yield backend
    backend.close()


def test_steps_may_have_fewer_rows_than_there_are_sequences(model: LlamaModel) -> None:
    """LLM_BATCH_TOKENS is one setting, and the slots are another."""
    backend = LlamaBackend(model, ContextSizes(cells=512, seats=100, batch_tokens=64, threads=1))
    feed(backend, 99, list(b"abc"))
    backend.close()


def feed(backend: LlamaBackend, seat: int, tokens: list[int], start: int = 0) -> int:
    """Computes the tokens and returns the row of the last one."""
    last = len(tokens) - 1
    backend.forward([Row(token, start + at, seat, at == last) for at, token in enumerate(tokens)])
    return last


def continue_greedily(backend: LlamaBackend, seat: int, prompt: list[int], count: int, start: int = 0) -> list[int]:
    sampler = backend.sampler(GREEDY, prompt, ignore_eos=False)
    row, tokens = feed(backend, seat, prompt[start:], start), []
    for at in range(count):
        tokens.append(sampler.sample(row))
        row = feed(backend, seat, tokens[-1:], len(prompt) + at)
    sampler.close()
    return tokens


def test_tokens_spell_the_text(model: LlamaModel) -> None:
    """Pieces of a text's tokens are its bytes."""
    text = "Grüße, 世界! 😀\n\t x"
    tokens = model.vocabulary.tokenize(text, add_special=False, parse_special=True)
    assert b"".join(map(model.vocabulary.piece, tokens)).decode() == text


def test_description_has_the_number_of_parameters(model: LlamaModel) -> None:
    """llama.cpp knows the sizes of well-known models only, and says `?B` of others."""
    architecture, size, kind = model.description.split(" ", 2)
    assert (architecture, size) == ("llama", short_count(model.parameters))
    assert kind


def test_infill_tokens_are_those_of_the_vocabulary(model: LlamaModel, tmp_path: Path) -> None:
    """Known by what they spell, in any order; a model that lacks one has none."""
    special = load(write_tiny_model(tmp_path / "infill.gguf", special=INFILL)).vocabulary.special
    assert special.infill is not None
    assert [*special.infill] == [257, 259, 258]
    assert model.vocabulary.special.infill is None
    assert load(write_tiny_model(tmp_path / "part.gguf", special=INFILL[:2])).vocabulary.special.infill is None


def test_text_begins_with_the_token_that_the_model_has_for_it(model: LlamaModel) -> None:
    """The tiny ones have one for both ends."""
    assert model.vocabulary.special.start == (257,)


def test_control_tokens_are_parsed_where_asked(model: LlamaModel) -> None:
    """The text of a control token is that token, or its letters."""
    parsed = model.vocabulary.tokenize("<|end|>", add_special=False, parse_special=True)
    spelled = model.vocabulary.tokenize("<|end|>", add_special=False, parse_special=False)
    assert (len(parsed), len(spelled)) == (1, 7)
    assert model.vocabulary.piece(parsed[0]) == b""
    assert model.vocabulary.is_end(parsed[0])


def test_copied_prefix_continues_like_a_computed_one(backend: LlamaBackend) -> None:
    """A sequence that shares a busy sequence's prefix generates what it would have generated alone."""
    prompt = list(b"the same beginning of two requests, then more")
    alone = continue_greedily(backend, 0, prompt, 12)
    backend.copy_prefix(0, 1, 30)
    assert continue_greedily(backend, 1, prompt, 12, start=30) == alone


def test_saved_prefix_continues_like_a_computed_one(backend: LlamaBackend) -> None:
    """Also one that takes only the beginning of its last block; the rest of the block takes no cells."""
    prompt = list(b"what was asked once and was answered, then more")
    alone = continue_greedily(backend, 0, prompt, 12)
    first, second = backend.save(0, 0, 20), backend.save(0, 20, 40)
    backend.truncate(0, 0)
    backend.restore(1, first, 0, 20)
    backend.restore(1, second, 20, 10)
    assert continue_greedily(backend, 1, prompt, 12, start=30) == alone
    backend.truncate(1, 30)
    for start in range(0, backend.cells - 30, 2):
        feed(backend, 2, [65, 66], start)
    with pytest.raises(BackendError):
        feed(backend, 2, [65, 66], backend.cells - 30)


def test_sequence_in_a_full_batch_generates_what_it_generates_alone(backend: LlamaBackend) -> None:
    """Greedy text does not depend on the other sequences of a step, with F32 weights on a CPU."""
    prompts = [list(f"prompt number {seat} is its own".encode()) for seat in range(8)]
    alone = []
    for prompt in prompts:
        alone.append(continue_greedily(backend, 0, prompt, 10))
        backend.truncate(0, 0)
    samplers = [backend.sampler(GREEDY, prompt, ignore_eos=False) for prompt in prompts]
    together: list[list[int]] = [[] for _ in prompts]
    rows = [feed(backend, seat, prompt) for seat, prompt in enumerate(prompts)]
    for seat, prompt in enumerate(prompts):
        backend.truncate(seat, 0)
        rows[seat] = feed(backend, seat, prompt)
        together[seat].append(samplers[seat].sample(rows[seat]))
    for at in range(9):
        backend.forward(
            [Row(tokens[-1], len(prompts[seat]) + at, seat, wants_scores=True) for seat, tokens in enumerate(together)]
        )
        for seat, tokens in enumerate(together):
            tokens.append(samplers[seat].sample(seat))
    assert together == alone


@pytest.mark.parametrize("prompt", CLEAR_PROMPTS)
def test_greedy_text_that_tests_compare_is_clear(backend: LlamaBackend, prompt: str) -> None:
    """At each token the best one is ahead by several times what the order of sums changes, which is up to 0.0015."""
    tokens = backend.vocabulary.tokenize(prompt, add_special=False, parse_special=True)
    sampler = backend.sampler(GREEDY, tokens, ignore_eos=True)
    row, start = feed(backend, 0, tokens), len(tokens)
    for at in range(40):
        best, second = sampler.logprob(row, 0, 2).top_logprobs
        assert best.logprob - second.logprob > 0.01
        assert sampler.sample(row) == best.token_id
        row = feed(backend, 0, [best.token_id], start + at)
    sampler.close()


@pytest.fixture
def demo_backend() -> Iterator[LlamaBackend]:
    path = BUNDLED["demo"].path()
    assert path is not None
    sizes = ContextSizes(cells=1024, seats=3, batch_tokens=256, threads=2, reproducible=True)
    backend = LlamaBackend(load(path), sizes)
    yield backend
    backend.close()


def scores_of(backend: LlamaBackend, row: int) -> list[float]:
    """Returns all log probabilities after a row of the last forward, to the last bit."""
    sampler = backend.sampler(GREEDY, [], ignore_eos=False)
    entry = sampler.logprob(row, 0, backend.vocabulary.size)
    sampler.close()
    return [top.logprob for top in sorted(entry.top_logprobs, key=lambda top: top.token_id)]


@pytest.mark.parametrize("chunks", [(64, 136), (199, 1), (100, 97, 3), (16,) * 12 + (8,)])
@pytest.mark.parametrize("others", [0, 17, 600])
def test_scores_depend_on_the_sequence_alone(demo_backend: LlamaBackend, chunks: tuple[int, ...], others: int) -> None:
    """Not on the rows of the batches in which it was computed, nor on the cells that others hold."""
    assert demo_backend.keeps_order
    tokens = [100 + at * 7 % 900 for at in range(200)]
    expected = scores_of(demo_backend, feed(demo_backend, 0, tokens))
    demo_backend.clear()
    for start in range(0, others, 200):
        feed(demo_backend, 1, [50] * min(200, others - start), start)
    start = 0
    for count in chunks:
        row = feed(demo_backend, 0, tokens[start : start + count], start)
        start += count
    assert scores_of(demo_backend, row) == expected


def test_load_finds_out_whether_rows_depend_on_their_batch(demo_backend: LlamaBackend, tmp_path: Path) -> None:
    """Q8_0's do not; F32's do where a row has more numbers than a kernel takes at once, but not within whole blocks."""
    assert demo_backend.exact_block == 1
    model = load(write_tiny_model(tmp_path / "wide.gguf", width=512))
    backend = LlamaBackend(model, ContextSizes(cells=256, seats=1, batch_tokens=64, threads=1, reproducible=True))
    assert backend.exact_block == EXACT_BLOCK
    assert backend.keeps_order
    backend.close()


def quantised(directory: Path, file_type: int, experts: int = 0) -> LlamaBackend:
    """Returns a reproducible backend of random weights in a type of `enum llama_ftype`."""
    path = directory / "quantised.gguf"
    source = write_tiny_model(directory / "source.gguf", width=256, experts=experts)
    assert quantise_model(source, path, file_type, lambda _: None)
    return LlamaBackend(load(path), ContextSizes(cells=256, seats=1, batch_tokens=64, threads=1, reproducible=True))


FILE_TYPES = {"F16": 1, "BF16": 32, "Q2_K": 10, "Q3_K_M": 12, "Q4_K_M": 15, "Q6_K": 18, "IQ4_XS": 30}


@pytest.mark.parametrize("file_type", FILE_TYPES.values(), ids=FILE_TYPES)
def test_prompt_goes_on_at_a_block_as_if_computed_at_once(tmp_path: Path, file_type: int) -> None:
    """Scores behind what a shorter prompt left are those of the whole prompt, to the last bit, in each type."""
    backend = quantised(tmp_path, file_type)
    assert backend.exact_block < EXACT_CHUNK
    chunk = Chunk(EXACT_CHUNK, backend.exact_block)
    for seed in range(20):
        tokens = np.random.default_rng(seed).integers(0, 250, 40 + seed).tolist()
        whole = scores_of(backend, feed(backend, 0, tokens))
        held = len(tokens) - 1 - seed % 8
        backend.clear()
        feed(backend, 0, tokens[:held])
        start = chunk.start(held, len(tokens))
        backend.truncate(0, start)
        assert scores_of(backend, feed(backend, 0, tokens[start:], start)) == whole
        backend.clear()
    backend.close()


@pytest.mark.parametrize("file_type", FILE_TYPES.values(), ids=FILE_TYPES)
def test_experts_go_on_at_whole_steps_of_a_prompt(tmp_path: Path, file_type: int) -> None:
    """A kernel is chosen by the rows that an expert gets, so that a block's depend on the other rows of its step."""
    backend = quantised(tmp_path, file_type, experts=4)
    assert backend.exact_block == EXACT_CHUNK
    backend.close()


def test_moved_sequence_goes_on_as_it_would(demo_backend: LlamaBackend) -> None:
    """Its keys and values are those that it had, in ascending cells again."""
    tokens = [100 + at * 7 % 900 for at in range(100)]
    expected = scores_of(demo_backend, feed(demo_backend, 0, tokens))
    demo_backend.clear()
    feed(demo_backend, 1, [50] * 150)
    feed(demo_backend, 0, tokens[:60])
    demo_backend.truncate(1, 0)
    demo_backend.rehome(0)
    assert scores_of(demo_backend, feed(demo_backend, 0, tokens[60:], 60)) == expected


def test_cells_out_of_order_come_back_in_order(demo_backend: LlamaBackend) -> None:
    """Copied in parts, of which each ascends; a part of the last one is left."""
    tokens = [100 + at * 7 % 900 for at in range(100)]
    expected = scores_of(demo_backend, feed(demo_backend, 0, tokens))
    first, second = demo_backend.save(0, 0, 60), demo_backend.save(0, 60, 100)
    demo_backend.clear()
    feed(demo_backend, 1, [50] * 150)
    demo_backend.restore(0, first, 0, 60)
    demo_backend.truncate(1, 0)
    demo_backend.restore(0, second, 60, 40)
    state = demo_backend.save(0, 0, 100, [60])
    demo_backend.truncate(0, 0)
    demo_backend.restore(0, state, 0, 99)
    assert scores_of(demo_backend, feed(demo_backend, 0, tokens[99:], 99)) == expected


def test_seed_reproduces_the_choice(backend: LlamaBackend) -> None:
    """The same seed chooses the same tokens, another one others."""
    row = feed(backend, 0, list(b"dice"))

    def throw(seed: int) -> list[int]:
        sampler = backend.sampler(Sampling(seed=seed, temperature=2.0), [], ignore_eos=False)
        return [sampler.sample(row) for _ in range(20)]

    assert throw(7) == throw(7)
    assert throw(7) != throw(8)


def test_logprobs_are_the_models_own_distribution(backend: LlamaBackend) -> None:
    """Log probabilities add up to one, are ranked, and do not depend on the sampling parameters."""
    row = feed(backend, 0, list(b"abc"))
    sampler = backend.sampler(Sampling(seed=1, temperature=2.0, top_k=1), [], ignore_eos=False)
    entry = sampler.logprob(row, 65, backend.vocabulary.size)
    values = [top.logprob for top in entry.top_logprobs]
    assert math.isclose(sum(map(math.exp, values)), 1.0, rel_tol=1e-6)
    assert values == sorted(values, reverse=True)
    assert entry.logprob == next(top.logprob for top in entry.top_logprobs if top.token_id == 65)
    assert sampler.sample(row) == entry.top_logprobs[0].token_id


def test_logit_bias_decides(backend: LlamaBackend) -> None:
    """A large bias makes a token certain."""
    row = feed(backend, 0, list(b"abc"))
    sampler = backend.sampler(Sampling(seed=1, logit_bias={99: 100.0}), [], ignore_eos=False)
    assert [sampler.sample(row) for _ in range(5)] == [99] * 5


@pytest.mark.parametrize(
    "penalty", [{"presence_penalty": 2.0}, {"frequency_penalty": 2.0}, {"repetition_penalty": 2.0}]
)
def test_penalties_lower_the_chance_of_what_was_said(backend: LlamaBackend, penalty: dict[str, float]) -> None:
    """A token that was chosen becomes less likely by each of the penalties."""
    row = feed(backend, 0, list(b"abc"))
    free = backend.sampler(GREEDY, [], ignore_eos=False)
    bound = backend.sampler(Sampling(seed=0, temperature=0.0, **penalty), [], ignore_eos=False)
    assert len({free.sample(row) for _ in range(30)}) == 1
    assert len({bound.sample(row) for _ in range(30)}) > 1


def test_repetition_penalty_counts_the_prompt(backend: LlamaBackend) -> None:
    """The repetition penalty holds for tokens of the prompt, the other penalties for the answer only."""
    row = feed(backend, 0, list(b"abc"))
    best = backend.sampler(GREEDY, [], ignore_eos=False).sample(row)
    repeated = Sampling(seed=0, temperature=0.0, repetition_penalty=2.0)
    present = Sampling(seed=0, temperature=0.0, presence_penalty=2.0)
    assert backend.sampler(repeated, [best], ignore_eos=False).sample(row) != best
    assert backend.sampler(present, [best], ignore_eos=False).sample(row) == best


def test_ignore_eos_never_ends(backend: LlamaBackend) -> None:
    """With ignore_eos no end token is chosen, however likely a bias makes it."""
    row = feed(backend, 0, list(b"abc"))
    (end,) = backend.vocabulary.tokenize("<|end|>", add_special=False, parse_special=True)
    biased = Sampling(seed=0, logit_bias={end: 100.0})
    assert backend.sampler(biased, [], ignore_eos=False).sample(row) == end
    assert backend.sampler(biased, [], ignore_eos=True).sample(row) != end


def test_batch_beyond_its_size_is_an_error_and_no_abort(backend: LlamaBackend) -> None:
    """What would abort llama.cpp is refused in Python."""
    with pytest.raises(BackendError, match="1 to 64 rows"):
        backend.forward([Row(1, at, 0, wants_scores=False) for at in range(65)])


def test_full_cache_is_an_error_and_the_context_lives(backend: LlamaBackend) -> None:
    """When the cache is full the forward fails, and works again once there is room."""
    for start in range(0, backend.cells, 64):
        feed(backend, 0, [65] * 64, start)
    with pytest.raises(BackendError, match="llama_decode: 1"):
        feed(backend, 1, [65] * 8)
    backend.clear()
    feed(backend, 1, [65] * 8)


@pytest.mark.parametrize("name", ["missing", "empty", "truncated", "garbage"])
def test_file_that_is_no_model_is_refused(model_directory: Path, name: str) -> None:
    """Damaged files are errors, not crashes."""
    with pytest.raises(ModelFailedError, match="cannot load"):
        load(model_directory / f"{name}.gguf")


def test_scores_that_are_no_numbers_are_an_error(model_directory: Path) -> None:
    """Weights that are no numbers do not become quiet nonsense."""
    backend = LlamaBackend(load(model_directory / "nan.gguf"), ContextSizes(64, 2, 64, 1))
    row = feed(backend, 0, [65])
    with pytest.raises(ComputationError, match="not finite"):
        backend.sampler(GREEDY, [], ignore_eos=False).sample(row)


def test_scores_have_the_vocabularys_size(backend: LlamaBackend) -> None:
    """Asking for more probabilities than there are tokens is bounded by the caller; all of them can be had."""
    row = feed(backend, 0, [65])
    entry = backend.sampler(GREEDY, [], ignore_eos=False).logprob(row, 65, backend.vocabulary.size)
    assert np.unique([top.token_id for top in entry.top_logprobs]).size == backend.vocabulary.size
