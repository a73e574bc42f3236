"""Sampling of given scores, held against llama.cpp's whole chain."""

import ctypes
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import llama_cpp.llama_cpp as C
import numpy as np
import numpy.typing as npt
import pytest

from llm_inference_api.backends.llama.backend import LlamaModel
from llm_inference_api.backends.llama.sampler import LlamaSampler, MaskedSampler, near_best, nucleus
from llm_inference_api.backends.llama.vocabulary import Vocabulary
from llm_inference_api.errors import ComputationError
from llm_inference_api.requests.engine_config import GpuChoice
from llm_inference_api.requests.request import Sampling
from tests.fakes.gguf import write_tiny_model

SIZE = 5000
"""Tokens; from 1024 on, llama.cpp's top_p first sorts the best 256 alone."""
DRAWS = 40
NEARLY_ALL = 36
"""Draws that are the same: llama.cpp adds up single precision, so that its top_p may end a token sooner or later among
thousands of equally unlikely ones."""
PROMPT = [5, 9, 9]
Scores = npt.NDArray[np.float32]


@dataclass
class FixedOutputs:
    """Scores that no model has computed."""

    scores: Scores
    window: int = 100

    def row(self, row: int) -> Scores:
        return self.scores[row]


@dataclass
class Tokens:
    """A vocabulary without a model."""

    size: int = SIZE
    ends: tuple[int, ...] = (2, 7)

    def piece(self, token: int) -> bytes:
        return b"%d " % token


@dataclass
class FixedMask:
    """Allows some tokens, always the same."""

    tokens: npt.NDArray[np.int32]
    accepted: list[int] = field(default_factory=list)

    def is_ready(self) -> bool:
        return True

    def allowed(self) -> npt.NDArray[np.int32]:
        return self.tokens

    def accept(self, token: int) -> None:
        self.accepted.append(token)

    def matches(self, text: str) -> bool:
        return False


def rows(spread: float) -> Scores:
    """Returns scores of `DRAWS` rows; the larger the spread, the fewer tokens have most of the probability."""
    return (np.random.default_rng(0).standard_normal((DRAWS, SIZE)) * spread).astype(np.float32)


@contextmanager
def whole_chain(sampling: Sampling) -> Iterator[Any]:
    """Yields the chain that does all of it in llama.cpp."""
    chain = C.llama_sampler_chain_init(C.llama_sampler_chain_default_params())
    steps = []
    if sampling.logit_bias:
        entries = (C.llama_logit_bias * len(sampling.logit_bias))(
            *(C.llama_logit_bias(*entry) for entry in sampling.logit_bias.items())
        )
        steps.append(C.llama_sampler_init_logit_bias(SIZE, len(entries), entries))
    if sampling.repetition_penalty != 1.0:
        repetition = C.llama_sampler_init_penalties(SIZE, 100, sampling.repetition_penalty, 0.0, 0.0)
        for token in PROMPT:
            C.llama_sampler_accept(repetition, token)
        steps.append(repetition)
    if sampling.frequency_penalty or sampling.presence_penalty:
        steps.append(
            C.llama_sampler_init_penalties(SIZE, 100, 1.0, sampling.frequency_penalty, sampling.presence_penalty)
        )
    keep = max(sampling.min_keep, 1)
    if sampling.temperature and sampling.mirostat:
        mirostat = (sampling.seed, sampling.mirostat_tau, sampling.mirostat_eta)
        steps += [
            C.llama_sampler_init_temp(sampling.temperature),
            C.llama_sampler_init_mirostat(SIZE, *mirostat, 100)
            if sampling.mirostat == 1
            else C.llama_sampler_init_mirostat_v2(*mirostat),
        ]
    elif sampling.temperature:
        steps += [
            C.llama_sampler_init_top_n_sigma(sampling.top_n_sigma),
            C.llama_sampler_init_top_k(sampling.top_k),
            C.llama_sampler_init_typical(sampling.typical_p, keep),
            C.llama_sampler_init_top_p(sampling.top_p, keep),
            C.llama_sampler_init_min_p(sampling.min_p, keep),
            C.llama_sampler_init_xtc(sampling.xtc_probability, sampling.xtc_threshold, keep, sampling.seed),
            C.llama_sampler_init_temp_ext(sampling.temperature, sampling.dynatemp_range, sampling.dynatemp_exponent),
            C.llama_sampler_init_dist(sampling.seed),
        ]
    else:
        steps.append(C.llama_sampler_init_greedy())
    for step in steps:
        C.llama_sampler_chain_add(chain, step)
    yield chain
    C.llama_sampler_free(chain)


def drawn_by_llama(sampling: Sampling, scores: Scores, tokens: npt.NDArray[np.int32] | None = None) -> list[int]:
    """Returns the token that the whole chain chooses for each row."""
    ids = np.arange(SIZE, dtype=np.int32) if tokens is None else tokens
    drawn = []
    with whole_chain(sampling) as chain:
        for row in scores:
            data = (C.llama_token_data * len(ids))(*((int(at), float(row[at]), 0.0) for at in ids))
            array = C.llama_token_data_array(data=data, size=len(ids), selected=-1, sorted=False)
            C.llama_sampler_apply(chain, ctypes.byref(array))
            drawn.append(int(array.data[array.selected].id))
            C.llama_sampler_accept(chain, drawn[-1])
    return drawn


@pytest.mark.parametrize("spread", [0.5, 4.0], ids=["flat", "peaked"])
@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.0},
        {"temperature": 0.0, "logit_bias": {3: 60.0, 11: -math.inf}},
        {"temperature": 0.0, "frequency_penalty": 2.0, "repetition_penalty": 1.5},
        {"top_p": 0.9},
        {"top_p": 0.9, "min_p": 0.05, "temperature": 1.4},
        {"top_p": 0.5, "logit_bias": {3: 4.0, 11: -math.inf}},
        {"top_p": 1e-6},
        {"top_p": 1.0},
        {"top_k": 40, "top_p": 0.95},
        {"typical_p": 0.8, "top_p": 0.9},
        {"presence_penalty": 1.0, "top_p": 0.9},
        {"top_n_sigma": 1.5},
        {"top_n_sigma": 1.0, "presence_penalty": 1.0, "top_p": 0.9},
        {"top_p": 0.3, "min_p": 0.5, "min_keep": 12},
        {"xtc_probability": 0.5, "xtc_threshold": 0.02, "min_p": 0.05},
        {"dynatemp_range": 0.6, "dynatemp_exponent": 1.5, "top_p": 0.9},
        {"mirostat": 1, "mirostat_tau": 3.0, "mirostat_eta": 0.2},
        {"mirostat": 2, "mirostat_tau": 3.0, "mirostat_eta": 0.2, "frequency_penalty": 0.5},
        {"mirostat": 2, "mirostat_tau": 8.0, "top_n_sigma": 0.1},
    ],
    ids=",".join,
)
def test_choice_is_that_of_llama_cpps_whole_chain(options: dict[str, object], spread: float) -> None:
    """Token by token for a seed, whatever part of the work is NumPy's."""
    sampling = Sampling(**({"seed": 4, "temperature": 0.7} | options))  # type: ignore[arg-type]
    scores = rows(spread)
    sampler = LlamaSampler(FixedOutputs(scores), Tokens(), sampling, PROMPT, ignore_eos=False)  # type: ignore[arg-type]
    same = sum(a == b for a, b in zip(map(sampler.sample, range(DRAWS)), drawn_by_llama(sampling, scores), strict=True))
    assert same >= (DRAWS if sampling.temperature == 0.0 else NEARLY_ALL)
    sampler.close()


@pytest.mark.parametrize("options", [{"temperature": 0.0}, {"top_p": 0.9}, {"top_k": 3}], ids=",".join)
def test_masked_choice_is_that_of_the_whole_chain_among_the_allowed(options: dict[str, object]) -> None:
    """And the mask learns of it."""
    sampling = Sampling(**({"seed": 4, "temperature": 0.7} | options))  # type: ignore[arg-type]
    scores, mask = rows(1.0), FixedMask(np.arange(1, SIZE, 3, dtype=np.int32))
    sampler = MaskedSampler(FixedOutputs(scores), Tokens(), sampling, PROMPT, mask)  # type: ignore[arg-type]
    drawn = [sampler.sample(row) for row in range(DRAWS)]
    assert drawn == mask.accepted
    assert set(drawn) <= set(mask.tokens.tolist())
    assert sum(a == b for a, b in zip(drawn, drawn_by_llama(sampling, scores, mask.tokens), strict=True)) >= NEARLY_ALL
    sampler.close()


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_bias_leaves_the_models_own_scores(temperature: float) -> None:
    """Log probabilities are read from them after the choice, and are without the bias."""
    scores = rows(1.0)
    sampling = Sampling(seed=1, temperature=temperature, logit_bias={3: 60.0})
    sampler = LlamaSampler(FixedOutputs(scores), Tokens(), sampling, [], ignore_eos=True)  # type: ignore[arg-type]
    assert sampler.sample(0) == 3
    assert np.array_equal(scores, rows(1.0))
    sampler.close()


def test_ignored_end_is_never_the_best() -> None:
    """However likely it is."""
    scores = rows(1.0)
    scores[:, Tokens().ends] = 50.0
    sampler = LlamaSampler(
        FixedOutputs(scores),  # type: ignore[arg-type]
        Tokens(),  # type: ignore[arg-type]
        Sampling(seed=1, temperature=0.0),
        [],
        ignore_eos=True,
    )
    assert not {sampler.sample(row) for row in range(DRAWS)} & set(Tokens().ends)
    sampler.close()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_scores_that_are_not_finite_are_an_error(value: float, temperature: float) -> None:
    """One NaN or infinity is enough; of minus infinity, all of them: it excludes a token."""
    scores = rows(1.0)
    scores[0, slice(None) if value == -math.inf else 17] = value
    sampler = LlamaSampler(
        FixedOutputs(scores),  # type: ignore[arg-type]
        Tokens(),  # type: ignore[arg-type]
        Sampling(seed=1, temperature=temperature),
        [],
        ignore_eos=False,
    )
    with pytest.raises(ComputationError, match="not finite"):
        sampler.sample(0)
    sampler.close()


@pytest.mark.parametrize("spread", [0.0, 0.5, 4.0, 30.0])
@pytest.mark.parametrize("total", [1e-9, 0.3, 0.9, 0.9999])
def test_nucleus_is_the_fewest_tokens_that_reach_the_total(spread: float, total: float) -> None:
    """In descending order."""
    scores = rows(spread)[0]
    kept = nucleus(scores, float(scores.max()), total)
    weights = np.exp(scores.astype(np.float64) - scores.max())
    shares = weights / weights.sum()
    assert (np.diff(scores[kept]) <= 0).all()
    assert shares[kept].sum() >= total - 1e-6
    assert shares[kept[:-1]].sum() < total + 1e-6
    assert scores[kept].min() >= np.delete(scores, kept).max(initial=-math.inf)


def test_token_that_is_given_must_be_allowed() -> None:
    """The mask learns of it; one that it forbids is refused, and changes nothing."""
    mask = FixedMask(np.arange(1, SIZE, 3, dtype=np.int32))
    sampling = Sampling(seed=1)
    sampler = MaskedSampler(FixedOutputs(rows(1.0)), Tokens(), sampling, PROMPT, mask)  # type: ignore[arg-type]
    assert not sampler.accept(2)
    assert sampler.accept(4)
    assert mask.accepted == [4]
    sampler.close()


def drawn(vocabulary: Any, prompt: list[int], logits: list[float], count: int = 64, **options: Any) -> set[int]:
    """Returns the tokens that are drawn of these scores; of all others the scores are -100."""
    scores = np.full((1, vocabulary.size), -100.0, np.float32)
    scores[0, : len(logits)] = logits
    found = set()
    for seed in range(count):
        sampling = Sampling(**({"seed": seed, "temperature": 1.0} | options))
        sampler = LlamaSampler(FixedOutputs(scores), vocabulary, sampling, prompt, ignore_eos=False)  # type: ignore[arg-type]
        found.add(sampler.sample(0))
        sampler.close()
    return found


PROBABILITIES = [math.log(0.4), math.log(0.3), math.log(0.2), math.log(0.1)]


@pytest.mark.parametrize(("threshold", "left"), [(0.09, {3}), (0.19, {2, 3}), (0.29, {1, 2, 3}), (0.39, {0, 1, 2, 3})])
def test_top_choices_are_excluded(threshold: float, left: set[int]) -> None:
    """All but the least probable of those above the threshold; the cases are those of llama.cpp's test-sampling."""
    options = {"xtc_probability": 1.0, "xtc_threshold": threshold, "top_k": 4}
    assert drawn(Tokens(), [], PROBABILITIES, **options) == left


def test_tokens_far_below_the_best_are_dropped() -> None:
    """In standard deviations of the logits; one of -inf counts for nothing."""
    assert near_best(np.array([*PROBABILITIES, -np.inf], np.float32), 1.0).tolist() == [0, 1]
    assert near_best(np.array(PROBABILITIES, np.float32), 3.0).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(("keep", "left"), [(0, {0}), (2, {0, 1}), (3, {0, 1, 2})])
def test_top_k_keeps_at_least_as_many_as_is_asked(keep: int, left: set[int]) -> None:
    """As the samplers behind it do, which llama.cpp tells of min_keep; its top_k knows none."""
    assert drawn(Tokens(), [], PROBABILITIES, top_k=1, min_keep=keep) == left


@pytest.mark.parametrize("mirostat", [1, 2])
def test_token_without_alternative_teaches_mirostat_nothing(mirostat: int) -> None:
    """llama.cpp takes it for a choice that was too sure: after a form's fixed text the whole vocabulary would do."""
    sampling, mask = Sampling(seed=4, temperature=0.7, mirostat=mirostat), FixedMask(np.array([3], np.int32))
    outputs, everything = FixedOutputs(rows(1.0)), np.arange(SIZE, dtype=np.int32)
    sampler = MaskedSampler(outputs, Tokens(), sampling, [], mask)  # type: ignore[arg-type]
    assert [sampler.sample(row) for row in range(DRAWS)] == [3] * DRAWS
    mask.tokens = everything
    new = MaskedSampler(outputs, Tokens(), sampling, [], FixedMask(everything))  # type: ignore[arg-type]
    assert [sampler.sample(row) for row in range(DRAWS)] == [new.sample(row) for row in range(DRAWS)]
    sampler.close()
    new.close()


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Vocabulary:
    """A vocabulary of bytes."""
    path = write_tiny_model(tmp_path_factory.mktemp("dry") / "tiny.gguf", layers=1)
    return LlamaModel(path, GpuChoice(), lambda fraction: None).vocabulary


@pytest.mark.parametrize(
    ("prompt", "options", "penalty"),
    [
        ([1, 2], {}, 0.0),
        ([1, 2, 3, 1, 2], {}, 1.0),
        ([1, 2, 3, 1, 2], {"dry_multiplier": 2.0}, 2.0),
        ([4, 1, 2, 3, 4, 1, 2], {}, 1.1),
        ([1, 2, 3, 1, 2], {"dry_penalty_last_n": 4}, 0.0),
        ([4, 1, 2, 3, 4, 1, 2], {"dry_penalty_last_n": -1}, 1.1),
        ([1, 2, 3, 1, 2], {"dry_allowed_length": 3}, 0.0),
        ([1, 2, 3, 1, 2], {"dry_sequence_breakers": ("\x02",)}, 0.0),
        ([1, 2, 3, 1, 2], {"dry_penalty_last_n": 0}, 0.0),
    ],
)
def test_token_that_extends_a_repetition_is_penalized(
    vocabulary: Vocabulary, prompt: list[int], options: dict[str, Any], penalty: float
) -> None:
    """By multiplier * base^(length - allowed length), as llama.cpp's test-sampling has it."""
    dry = {"dry_multiplier": 1.0, "dry_base": 1.1, "dry_penalty_last_n": 64, "temperature": 0.0, **options}
    above, below = ([penalty + by if token == 3 else 0.0 for token in range(5)] for by in (0.01, -0.01))
    assert drawn(vocabulary, prompt, above, count=1, **dry) == {3}
    assert 3 not in drawn(vocabulary, prompt, below, count=1, **dry)


TYPICAL = [math.log(0.4), math.log(0.2), math.log(0.2), math.log(0.2)]
"""With typical_p=0.5 the best one is left out: its surprisal is farthest from the entropy."""


@pytest.mark.parametrize("size", [5, 8, 16])
@pytest.mark.parametrize("is_own", [False, True], ids=["by a bias", "by the model"])
def test_excluded_tokens_leave_typical_sampling_as_it_is(size: int, is_own: bool) -> None:  # noqa: FBT001
    """llama.cpp's computes NaN of a probability of 0, and keeps what its sort has put first."""
    excluded = [-math.inf] * (size - len(TYPICAL))
    bias = {} if is_own else dict.fromkeys(range(len(TYPICAL), size), -math.inf)
    logits = [*TYPICAL, *excluded] if is_own else TYPICAL
    assert drawn(Tokens(size), [], logits, typical_p=0.5, logit_bias=bias) == {1, 2, 3}


@pytest.mark.parametrize("options", [{}, {"typical_p": 0.5}, {"mirostat": 1}, {"mirostat": 2}, {"temperature": 0.0}])
def test_penalty_beyond_all_numbers_leaves_a_choice(vocabulary: Vocabulary, options: dict[str, Any]) -> None:
    """DRY's grows with the length of a repetition; where it excludes all that a mask allows, it does not apply."""
    sampling = Sampling(
        **(
            {"seed": 1, "temperature": 1.0, "dry_multiplier": 100.0, "dry_base": 10.0, "dry_penalty_last_n": -1}
            | options
        )
    )
    outputs: Any = FixedOutputs(np.zeros((1, vocabulary.size), np.float32))
    for allowed in ([1], [1, 2]):
        mask = FixedMask(np.array(allowed, np.int32))
        prompt = [1] * 60 + [2] + [1] * 60
        sampler = MaskedSampler(outputs, vocabulary, sampling, prompt, mask)
        assert sampler.sample(0) in allowed
        sampler.close()


def test_samplers_of_equal_parameters_share_no_tokens(vocabulary: Vocabulary) -> None:
    """They are clones of one that has seen none."""
    dry = {"dry_multiplier": 5.0, "temperature": 0.0}
    logits = [0.0, 0.0, 0.0, 1.0]
    assert drawn(vocabulary, [1, 2, 3, 1, 2], logits, count=1, **dry) != {3}
    assert drawn(vocabulary, [1, 2], logits, count=1, **dry) == {3}
