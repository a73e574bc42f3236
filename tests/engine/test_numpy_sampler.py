"""The sampler against llama.cpp's, which defines what the parameters mean."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_inference_api.backends.llama.backend import ContextSizes, LlamaBackend, LlamaModel
from llm_inference_api.engine.backend import Row
from llm_inference_api.engine.numpy_sampler import NumpySampler
from llm_inference_api.errors import ComputationError, InvalidFieldError
from llm_inference_api.requests.engine_config import GpuChoice
from llm_inference_api.requests.request import Sampling


class Scored:
    """A model of six tokens that always gives the same scores; the last ends an answer."""

    def __init__(self, scores: list[float]) -> None:
        self._scores = np.array(scores)

    def scores(self, row: int) -> np.ndarray:
        return self._scores.copy()

    def piece(self, token: int) -> bytes:
        return b"%d" % token

    def is_end(self, token: int) -> bool:
        return token == len(self._scores) - 1


SCORES = [2.0, 1.0, 0.5, 0.0, -1.0, 1.5]


def sampler(prompt: tuple[int, ...] = (), *, ignore_eos: bool = False, **sampling: Any) -> NumpySampler:
    return NumpySampler(
        Scored(SCORES), len(SCORES), Sampling(**({"seed": 1} | sampling)), prompt, ignore_eos=ignore_eos
    )


def chosen(count: int = 400, **sampling: Any) -> set[int]:
    one = sampler(**({"temperature": 2.0} | sampling))
    return {one.sample(0) for _ in range(count)}


@pytest.mark.parametrize(
    ("limits", "tokens"),
    [
        ({}, {0, 1, 2, 3, 4, 5}),
        ({"top_k": 2}, {0, 5}),
        ({"top_k": 100}, {0, 1, 2, 3, 4, 5}),
        ({"top_p": 0.1}, {0}),
        ({"top_p": 0.65}, {0, 5}),
        ({"min_p": 0.3}, {0, 1, 5}),
        ({"min_p": 1.0}, {0}),
        ({"logit_bias": {4: 100.0}}, {4}),
        ({"logit_bias": {0: -100.0}, "top_k": 1}, {5}),
    ],
)
def test_limits_leave_the_likely_tokens(limits: dict[str, Any], tokens: set[int]) -> None:
    """Each limit leaves the tokens that it should."""
    assert chosen(**limits) == tokens


def test_seed_reproduces_the_choice() -> None:
    """The same seed chooses the same tokens, another one others."""

    def throw(seed: int) -> list[int]:
        one = sampler(seed=seed, temperature=2.0)
        return [one.sample(0) for _ in range(20)]

    assert throw(7) == throw(7)
    assert throw(7) != throw(8)


def test_frequencies_follow_the_temperature() -> None:
    """Tokens are chosen as often as the scores divided by the temperature say."""
    one = sampler(temperature=0.5)
    counts = np.bincount([one.sample(0) for _ in range(5000)], minlength=6) / 5000
    weights = np.exp(np.array(SCORES) / 0.5)
    assert np.abs(counts - weights / weights.sum()).max() < 0.03


def test_penalties() -> None:
    """Presence and frequency count the answer, repetition the prompt too."""
    assert sampler((0,), temperature=0.0, presence_penalty=2.0).sample(0) == 0
    assert sampler((0,), temperature=0.0, repetition_penalty=2.0).sample(0) == 5
    for penalty in ({"presence_penalty": 2.0}, {"frequency_penalty": 0.6}, {"repetition_penalty": 2.0}):
        one = sampler(temperature=0.0, **penalty)
        assert [one.sample(0) for _ in range(2)] == [0, 5]


def test_ignore_eos_never_ends() -> None:
    """With ignore_eos no end token is chosen, however likely a bias makes it."""
    assert sampler(logit_bias={5: 100.0}).sample(0) == 5
    assert sampler(logit_bias={5: 100.0}, ignore_eos=True, temperature=0.0).sample(0) == 0


@pytest.mark.parametrize("scores", [[math.nan, 1.0], [math.inf, 1.0], [-math.inf, -math.inf]])
def test_scores_that_are_no_numbers_are_an_error(scores: list[float]) -> None:
    """What leaves no token to choose is an error."""
    one = NumpySampler(Scored(scores), 2, Sampling(seed=0), (), ignore_eos=False)
    with pytest.raises(ComputationError, match="not finite"):
        one.sample(0)


@pytest.fixture
def theirs(tiny_model: Path) -> Iterator[LlamaBackend]:
    """llama.cpp with scores after its row 0."""
    model = LlamaModel(tiny_model, GpuChoice(), on_progress=lambda fraction: None)
    backend = LlamaBackend(model, ContextSizes(cells=512, seats=2, batch_tokens=64, threads=1))
    backend.forward([Row(65, 0, 0, wants_scores=True)])
    yield backend
    backend.close()


def with_scores_of(backend: LlamaBackend, sampling: Sampling) -> NumpySampler:
    """Returns a sampler with llama.cpp's scores, but for a constant."""
    size = backend.vocabulary.size
    ranked = backend.sampler(sampling, [], ignore_eos=False).logprob(0, 0, size).top_logprobs
    scores = [entry.logprob for entry in sorted(ranked, key=lambda entry: entry.token_id)]
    return NumpySampler(Scored(scores), size, sampling, [], ignore_eos=False)


@pytest.mark.parametrize(
    "parameters",
    [{}, {"presence_penalty": 1.5, "frequency_penalty": 0.7}, {"logit_bias": {9: 3.0, 70: -5.0}}],
)
def test_greedy_choices_are_llama_cpps(theirs: LlamaBackend, parameters: dict[str, Any]) -> None:
    """Where chance plays no part, the same scores and parameters give the same tokens."""
    sampling = Sampling(seed=1, temperature=0.0, **parameters)
    one, other = with_scores_of(theirs, sampling), theirs.sampler(sampling, [], ignore_eos=False)
    assert [one.sample(0) for _ in range(30)] == [other.sample(0) for _ in range(30)]


@pytest.mark.parametrize("limit", [{"typical_p": 0.2}, {"top_p": 0.2}, {"min_p": 0.5}, {"top_k": 7}])
def test_limits_are_llama_cpps(theirs: LlamaBackend, limit: dict[str, Any]) -> None:
    """Each limit leaves the same tokens."""
    sampling = Sampling(seed=1, temperature=2.0, **limit)
    one, other = with_scores_of(theirs, sampling), theirs.sampler(sampling, [], ignore_eos=False)
    assert {one.sample(0) for _ in range(3000)} == {other.sample(0) for _ in range(3000)}


def test_token_that_is_given_counts_as_one_that_was_sampled() -> None:
    """Penalties look at the whole answer, also at what the service has written."""
    one = sampler(temperature=0.0, presence_penalty=2.0)
    assert one.accept(0)
    assert one.sample(0) == 5


@pytest.mark.parametrize(
    "field", ["top_n_sigma", "min_keep", "xtc_probability", "dynatemp_range", "dry_multiplier", "mirostat"]
)
def test_sampler_that_only_llama_cpp_has_is_refused_by_field(field: str) -> None:
    """It would have no effect; what turns it off is accepted."""
    with pytest.raises(InvalidFieldError) as found:
        sampler(**{field: 1})
    assert found.value.field == field
    assert sampler(**{field: 0})
