"""Sampling with NumPy, for backends without samplers of their own.

The parameters have the semantics of llama.cpp's samplers and are applied in the order of `llama.LlamaSampler`.
"""

import math
from collections import Counter
from collections.abc import Sequence as Rows
from typing import Protocol

import numpy as np
import numpy.typing as npt

from llm_inference_api.engine.logprobs import token_logprob
from llm_inference_api.errors import ComputationError, InvalidFieldError
from llm_inference_api.requests.events import TokenLogprob
from llm_inference_api.requests.request import Sampling

_ONLY_IN_LLAMA_CPP = ("top_n_sigma", "min_keep", "xtc_probability", "dynatemp_range", "dry_multiplier", "mirostat")
"""Parameters that turn a sampler on."""

Scores = npt.NDArray[np.float64]


class ScoreSource(Protocol):
    """The part of a backend that sampling needs."""

    def scores(self, row: int) -> Scores:
        """Returns a copy of the scores (logits) of a row of the last forward, shape [vocabulary size]."""

    def piece(self, token: int) -> bytes:
        """Returns the bytes of a token's text."""

    def is_end(self, token: int) -> bool:
        """Returns whether the token is an end-of-generation token."""


class NumpySampler:
    """An `engine.backend.Sampler`; deterministic for a seed."""

    def __init__(
        self, source: ScoreSource, vocabulary_size: int, sampling: Sampling, prompt: Rows[int], *, ignore_eos: bool
    ) -> None:
        """Raises InvalidFieldError for a parameter that only llama.cpp's samplers have."""
        for field in _ONLY_IN_LLAMA_CPP:
            if getattr(sampling, field) > 0:
                raise InvalidFieldError(field, "is not supported for legacy GGML models; leave it out")
        self._source = source
        self._sampling = sampling
        self._random = np.random.default_rng(sampling.seed)
        self._counts: Counter[int] = Counter()
        """Occurrences of each token in the answer, for the frequency and presence penalties."""
        self._seen = set(prompt) if sampling.repetition_penalty != 1.0 else set()
        self._bias = dict(sampling.logit_bias)
        if ignore_eos:
            self._bias |= {token: -math.inf for token in range(vocabulary_size) if source.is_end(token)}

    def is_ready(self) -> bool:
        """See `Sampler.is_ready`."""
        return True

    def keep(self, row: int) -> None:
        """See `Sampler.keep`; never needed, since the sampler is always ready."""

    def sample(self, row: int) -> int:
        """See `Sampler.sample`."""
        scores = self._source.scores(row)
        self._add_bias(scores)
        self._add_penalties(scores)
        if np.isnan(scores).any() or not math.isfinite(scores.max()):
            raise ComputationError("the model computed scores that are not finite; its file may be damaged")
        token = int(scores.argmax()) if self._sampling.temperature == 0.0 else self._draw(scores)
        self.accept(token)
        return token

    def accept(self, token: int) -> bool:
        """See `Sampler.accept`."""
        self._counts[token] += 1
        self._seen.add(token)
        return True

    def logprob(self, row: int, token: int, top: int) -> TokenLogprob:
        """See `Sampler.logprob`."""
        return token_logprob(self._source.scores(row), token, top, self._source.piece)

    def close(self) -> None:
        """See `Sampler.close`; there is nothing to free."""

    def _add_bias(self, scores: Scores) -> None:
        for token, bias in self._bias.items():
            scores[token] += bias

    def _add_penalties(self, scores: Scores) -> None:
        sampling = self._sampling
        if sampling.repetition_penalty != 1.0:
            seen = np.fromiter(self._seen, np.int64, len(self._seen))
            values = scores[seen]
            penalty = sampling.repetition_penalty
            scores[seen] = np.where(values <= 0, values * penalty, values / penalty)
        if sampling.frequency_penalty or sampling.presence_penalty:
            for token, count in self._counts.items():
                scores[token] -= count * sampling.frequency_penalty + sampling.presence_penalty

    def _draw(self, scores: Scores) -> int:
        tokens = self._candidates(scores)
        probabilities = _softmax(scores[tokens] / self._sampling.temperature)
        at = np.searchsorted(probabilities.cumsum(), self._random.random(), side="right")
        return int(tokens[min(int(at), len(tokens) - 1)])

    def _candidates(self, scores: Scores) -> npt.NDArray[np.int64]:
        """Returns the ids of the tokens that pass all filters, in order of decreasing probability."""
        sampling = self._sampling
        tokens = np.argsort(-scores, kind="stable")
        if sampling.top_k:
            tokens = tokens[: sampling.top_k]
        if sampling.typical_p < 1.0:
            tokens = _typical(tokens, scores, sampling.typical_p)
        if sampling.top_p < 1.0:
            tokens = tokens[: _count_up_to(_softmax(scores[tokens]), sampling.top_p)]
        if sampling.min_p > 0.0:
            tokens = tokens[scores[tokens] >= scores[tokens[0]] + math.log(sampling.min_p)]
        return tokens


def _softmax(scores: Scores) -> Scores:
    weights: Scores = np.exp(scores - scores.max())
    weights /= weights.sum()
    return weights


def _count_up_to(probabilities: Scores, total: float) -> int:
    """Returns the smallest number of leading probabilities whose sum reaches the total."""
    return int(np.searchsorted(probabilities.cumsum(), total, side="left")) + 1


def _typical(tokens: npt.NDArray[np.int64], scores: Scores, total: float) -> npt.NDArray[np.int64]:
    """Locally typical sampling (Meister et al. 2022, arXiv:2202.00666).

    Keeps the tokens whose surprisal is nearest to the distribution's entropy, until their probabilities reach the
    total. Returns them in their order in `tokens`.
    """
    probabilities = _softmax(scores[tokens])
    surprisal = -np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
    order = np.argsort(np.abs(surprisal - probabilities @ surprisal), kind="stable")
    kept = order[: _count_up_to(probabilities[order], total)]
    return tokens[np.sort(kept)]
