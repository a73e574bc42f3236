"""Sampling with llama.cpp's sampler chain.

llama.cpp fills an array of 12 bytes for each token of the vocabulary, and its top_p sorts all of them where the
distribution is flat: more time than a GPU takes for a row. NumPy finds the best token, and those that top_p leaves, in
a fraction of it; the chain gets these alone.
"""

import ctypes
import math
from collections.abc import Iterator
from collections.abc import Sequence as Rows
from typing import Any

import llama_cpp.llama_cpp as C
import numpy as np
import numpy.typing as npt

from llm_inference_api.backends.llama.dry import Dry
from llm_inference_api.backends.llama.outputs import Outputs
from llm_inference_api.backends.llama.vocabulary import Vocabulary
from llm_inference_api.engine.backend import KEPT, Mask
from llm_inference_api.engine.logprobs import token_logprob
from llm_inference_api.errors import ComputationError
from llm_inference_api.requests.events import TokenLogprob
from llm_inference_api.requests.limits import NO_LIMIT
from llm_inference_api.requests.request import Sampling

Scores = npt.NDArray[np.float32]
"""Scores (logits) of a row."""
Tokens = npt.NDArray[np.integer[Any]]
"""Token ids."""
_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
"""llama_token_data (llama.h)."""
_MIROSTAT_M = 100
"""Tokens from which mirostat estimates the distribution's exponent; llama-server's constant."""
_LEAST_WEIGHTS = (1e-2, 1e-4, 0.0)
"""Tokens whose weight, relative to the best one's, is less are left out of top_p's sort if the others suffice."""


class LlamaSampler:
    """A llama.cpp sampler chain; an `engine.backend.Sampler`."""

    def __init__(
        self, outputs: Outputs, vocabulary: Vocabulary, sampling: Sampling, prompt: Rows[int], *, ignore_eos: bool
    ) -> None:
        self._outputs = outputs
        self._vocabulary = vocabulary
        bias = dict(sampling.logit_bias)
        if ignore_eos:
            bias |= dict.fromkeys(vocabulary.ends, -math.inf)
        self._biased = np.fromiter(bias.keys(), np.int64, len(bias))
        self._bias = np.fromiter(bias.values(), np.float32, len(bias))
        self._penalties = C.llama_sampler_chain_init(C.llama_sampler_chain_default_params())
        """What changes scores by the tokens before."""
        self._chain = C.llama_sampler_chain_init(C.llama_sampler_chain_default_params())
        """What chooses."""
        self._add_penalties(sampling, prompt)
        self._penalizes = C.llama_sampler_chain_n(self._penalties) > 0
        self._is_greedy = sampling.temperature == 0.0 and not self._penalizes
        """Whether the token with the best score is chosen, so that the chains are not needed."""
        self._is_mirostat = bool(sampling.mirostat and sampling.temperature)
        self._deviations = sampling.top_n_sigma if sampling.temperature and not sampling.mirostat else 0.0
        self._drops_excluded = sampling.typical_p < 1.0
        """Whether excluded tokens, of -inf, are left out: llama.cpp's typical_p computes NaN of their probability, 0,
        and then keeps whatever its sort has put first."""
        cuts_first = not (
            self._penalizes or sampling.top_k or sampling.typical_p < 1.0 or sampling.min_keep > 1 or sampling.mirostat
        )
        self._top_p = sampling.top_p if cuts_first else 1.0
        """What is left to the chain is 1 here."""
        self._add_choice(sampling, top_p=1.0 if cuts_first else sampling.top_p)

    def is_ready(self) -> bool:
        """See `Sampler.is_ready`."""
        return True

    def keep(self, row: int) -> None:
        """See `Sampler.keep`; never needed, since the sampler is always ready."""

    def sample(self, row: int) -> int:
        """See `Sampler.sample`."""
        return self._choose(None, self._scores(row))

    def accept(self, token: int) -> bool:
        """See `Sampler.accept`."""
        self._advance(token)
        return True

    def logprob(self, row: int, token: int, top: int) -> TokenLogprob:
        """See `Sampler.logprob`."""
        scores = self._scores(row).astype(np.float64)
        return token_logprob(scores, token, top, self._vocabulary.piece)

    def close(self) -> None:
        """See `Sampler.close`."""
        if self._chain:
            C.llama_sampler_free(self._penalties)
            C.llama_sampler_free(self._chain)
            self._chain = None

    def _scores(self, row: int) -> Scores:
        return self._outputs.row(row)

    def _choose(self, tokens: Tokens | None, scores: Scores) -> int:
        """Returns one of the tokens; None stands for the whole vocabulary. The scores are those of all tokens.

        Raises:
            ComputationError: The scores are not finite, or exclude every token.
        """
        if not self._biased.size:
            return self._choice(tokens, scores if tokens is None else scores[tokens])
        own = scores[self._biased]
        scores[self._biased] += self._bias  # In place: a copy of all of them takes longer than the choice.
        try:
            return self._choice(tokens, scores if tokens is None else scores[tokens])
        finally:
            scores[self._biased] = own

    def _choice(self, tokens: Tokens | None, scores: Scores) -> int:
        """Returns one of the tokens, given their scores with the bias."""
        best = int(scores.argmax())  # NaN counts as the largest.
        check_score(scores[best])
        if self._is_greedy:
            return best if tokens is None else int(tokens[best])
        if self._penalizes:
            candidates = _candidates(tokens, scores)
            C.llama_sampler_apply(self._penalties, ctypes.byref(_array(candidates)))
            if math.isfinite(candidates["logit"].max()):  # DRY's penalty may exceed all numbers.
                scores = candidates["logit"]
        if self._drops_excluded:
            tokens, scores = _only(np.flatnonzero(scores > -np.inf), tokens, scores)
        if self._deviations > 0.0:
            tokens, scores = _only(near_best(scores, self._deviations), tokens, scores)
        if self._top_p < 1.0:
            tokens, scores = _only(nucleus(scores, float(scores.max()), self._top_p), tokens, scores)
        if self._is_mirostat and len(scores) == 1:
            # llama.cpp would divide 0 by 0, and then look for more surprise than before.
            self._advance(token := int(best if tokens is None else tokens[0]))
            return token
        candidates = _candidates(tokens, scores)
        array = _array(candidates, is_sorted=self._top_p < 1.0)
        C.llama_sampler_apply(self._chain, ctypes.byref(array))
        token = int(array.data[array.selected].id)
        self._advance(token)
        return token

    def _advance(self, token: int) -> None:
        C.llama_sampler_accept(self._penalties, token)
        C.llama_sampler_accept(self._chain, token)

    def _add_penalties(self, sampling: Sampling, prompt: Rows[int]) -> None:
        size, window = self._vocabulary.size, self._outputs.window
        if sampling.repetition_penalty != 1.0:
            self._penalize(C.llama_sampler_init_penalties(size, window, sampling.repetition_penalty, 0.0, 0.0), prompt)
        frequency, presence = sampling.frequency_penalty, sampling.presence_penalty
        if frequency or presence:
            self._penalize(C.llama_sampler_init_penalties(size, window, 1.0, frequency, presence), ())
        last = window if sampling.dry_penalty_last_n == NO_LIMIT else min(sampling.dry_penalty_last_n, window)
        if sampling.dry_multiplier and last:
            dry = Dry(
                sampling.dry_multiplier,
                sampling.dry_base,
                sampling.dry_allowed_length,
                last,
                sampling.dry_sequence_breakers,
            )
            self._penalize(self._vocabulary.dry.new(dry), prompt[-last:])

    def _penalize(self, sampler: Any, seen: Rows[int]) -> None:
        for token in seen:
            C.llama_sampler_accept(sampler, token)
        C.llama_sampler_chain_add(self._penalties, sampler)

    def _add_choice(self, sampling: Sampling, top_p: float) -> None:
        for sampler in self._choosing(sampling, top_p):
            C.llama_sampler_chain_add(self._chain, sampler)

    def _choosing(self, sampling: Sampling, top_p: float) -> Iterator[Any]:
        """Yields the samplers in llama.cpp's order (common_params_sampling)."""
        size, keep = self._vocabulary.size, min(max(sampling.min_keep, 1), self._vocabulary.size)
        if sampling.temperature == 0.0:
            yield C.llama_sampler_init_greedy()
            return
        if sampling.mirostat:
            yield C.llama_sampler_init_temp(sampling.temperature)
            yield self._mirostat(sampling)
            return
        if sampling.top_k:
            yield C.llama_sampler_init_top_k(min(max(sampling.top_k, sampling.min_keep), size))
        if sampling.typical_p < 1.0:
            yield C.llama_sampler_init_typical(sampling.typical_p, keep)
        if top_p < 1.0:
            yield C.llama_sampler_init_top_p(top_p, keep)
        if sampling.min_p > 0.0:
            yield C.llama_sampler_init_min_p(sampling.min_p, keep)
        if sampling.xtc_probability > 0.0:
            yield C.llama_sampler_init_xtc(sampling.xtc_probability, sampling.xtc_threshold, keep, sampling.seed)
        yield C.llama_sampler_init_temp_ext(sampling.temperature, sampling.dynatemp_range, sampling.dynatemp_exponent)
        yield C.llama_sampler_init_dist(sampling.seed)

    def _mirostat(self, sampling: Sampling) -> Any:
        seed, target, rate = sampling.seed, sampling.mirostat_tau, sampling.mirostat_eta
        if sampling.mirostat == 1:
            return C.llama_sampler_init_mirostat(self._vocabulary.size, seed, target, rate, _MIROSTAT_M)
        return C.llama_sampler_init_mirostat_v2(seed, target, rate)


class MaskedSampler(LlamaSampler):
    """A sampler whose candidates are only the tokens that a mask allows."""

    def __init__(
        self, outputs: Outputs, vocabulary: Vocabulary, sampling: Sampling, prompt: Rows[int], mask: Mask
    ) -> None:
        super().__init__(outputs, vocabulary, sampling, prompt, ignore_eos=False)
        self._mask = mask
        self._kept: Scores | None = None

    def is_ready(self) -> bool:
        """See `Sampler.is_ready`."""
        return self._mask.is_ready()

    def keep(self, row: int) -> None:
        """See `Sampler.keep`."""
        self._kept = self._scores(row).copy()

    def _scores(self, row: int) -> Scores:
        if row == KEPT:
            assert self._kept is not None
            return self._kept
        return super()._scores(row)

    def sample(self, row: int) -> int:
        """See `Sampler.sample`."""
        allowed = self._mask.allowed()
        token = self._choose(allowed, self._scores(row))
        self._mask.accept(token)
        return token

    def accept(self, token: int) -> bool:
        """See `Sampler.accept`."""
        if token not in self._mask.allowed():
            return False
        self._mask.accept(token)
        return super().accept(token)


def nucleus(scores: Scores, best: float, total: float) -> Tokens:
    """Returns the indices of the fewest scores whose probabilities together reach the total, in descending order.

    Args:
        scores: Shape [count].
        best: The largest of them, finite.
        total: Above 0, below 1.
    """
    weights = np.exp(scores - best)
    wanted = total * float(weights.sum())
    for least in _LEAST_WEIGHTS:
        kept = np.flatnonzero(weights >= least)
        heavy = weights[kept]
        if float(heavy.sum()) >= wanted:
            break
    order = np.argsort(-heavy)
    count = int(np.searchsorted(np.cumsum(heavy[order], dtype=np.float64), wanted)) + 1
    return kept[order[:count]]


def near_best(scores: Scores, deviations: float) -> Tokens:
    """Returns the indices of the scores at most so many standard deviations below the best one, as llama.cpp counts.

    Excluded tokens, of -inf, do not count (Tang et al. 2024, arXiv:2411.07641).
    """
    finite = scores[scores > -np.inf]
    return np.flatnonzero(scores >= finite.max() - deviations * finite.std(dtype=np.float64))


def _only(kept: Tokens, tokens: Tokens | None, scores: Scores) -> tuple[Tokens, Scores]:
    return kept if tokens is None else tokens[kept], scores[kept]


def _candidates(tokens: Tokens | None, scores: Scores) -> npt.NDArray[Any]:
    candidates = np.zeros(len(scores), _CANDIDATE)
    candidates["id"] = np.arange(len(scores)) if tokens is None else tokens
    candidates["logit"] = scores
    return candidates


def _array(candidates: npt.NDArray[Any], *, is_sorted: bool = False) -> Any:
    """Returns llama.cpp's view of the candidates, which must outlive it."""
    data = ctypes.cast(candidates.ctypes.data, ctypes.POINTER(C.llama_token_data))
    return C.llama_token_data_array(data=data, size=len(candidates), selected=-1, sorted=is_sorted)


def check_score(score: float) -> None:
    """Raises ComputationError if the best score of a row is not finite."""
    if not math.isfinite(score):
        raise ComputationError("the model computed scores that are not finite; its file may be damaged")
