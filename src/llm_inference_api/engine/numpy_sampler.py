"""Chooses tokens from scores with NumPy, for backends that bring no sampler of their own.

The parameters mean what they mean to llama.cpp's samplers, and are applied in the order of `llama.LlamaSampler`.
"""

import math
from collections import Counter
from collections.abc import Sequence as Rows
from typing import Protocol

import numpy as np
import numpy.typing as npt

from llm_inference_api.engine.logprobs import token_logprob
from llm_inference_api.errors import ComputationError
from llm_inference_api.requests.events import TokenLogprob
from llm_inference_api.requests.request import Sampling

Scores = npt.NDArray[np.float64]


class Source(Protocol):
    """What sampling needs of a backend."""

    def scores(self, row: int) -> Scores:
        """Returns a copy of the score of each token after this row of the last forward."""

    def piece(self, token: int) -> bytes:
        """Returns the bytes of a token's text."""

    def is_end(self, token: int) -> bool:
        """Returns whether the token ends an answer."""


class NumpySampler:
    """An `engine.backend.Sampler`; the same seed chooses the same tokens."""

    def __init__(
        self, source: Source, vocabulary_size: int, sampling: Sampling, prompt: Rows[int], *, ignore_eos: bool
    ) -> None:
        self._source = source
        self._sampling = sampling
        self._random = np.random.default_rng(sampling.seed)
        self._said: Counter[int] = Counter()
        """How often the answer has each token."""
        self._seen = set(prompt) if sampling.repetition_penalty != 1.0 else set()
        self._bias = dict(sampling.logit_bias)
        if ignore_eos:
            self._bias |= {token: -math.inf for token in range(vocabulary_size) if source.is_end(token)}

    def is_ready(self) -> bool:
        """See `Sampler.is_ready`."""
        return True

    def keep(self, row: int) -> None:
        """See `Sampler.keep`; one that is always ready keeps nothing."""

    def sample(self, row: int) -> int:
        """See `Sampler.sample`."""
        scores = self._source.scores(row)
        self._add_bias(scores)
        self._add_penalties(scores)
        if np.isnan(scores).any() or not math.isfinite(scores.max()):
            raise ComputationError("the model computed scores that are no numbers; its file may be damaged")
        token = int(scores.argmax()) if self._sampling.temperature == 0.0 else self._throw(scores)
        self._said[token] += 1
        self._seen.add(token)
        return token

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
            for token, count in self._said.items():
                scores[token] -= count * sampling.frequency_penalty + sampling.presence_penalty

    def _throw(self, scores: Scores) -> int:
        tokens = self._candidates(scores)
        probabilities = _softmax(scores[tokens] / self._sampling.temperature)
        at = np.searchsorted(probabilities.cumsum(), self._random.random(), side="right")
        return int(tokens[min(int(at), len(tokens) - 1)])

    def _candidates(self, scores: Scores) -> npt.NDArray[np.int64]:
        """Returns the tokens that may be chosen, the most probable first."""
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
    """Returns how many of the first probabilities add up to the total."""
    return int(np.searchsorted(probabilities.cumsum(), total, side="left")) + 1


def _typical(tokens: npt.NDArray[np.int64], scores: Scores, total: float) -> npt.NDArray[np.int64]:
    """Keeps the tokens whose surprise is nearest to the expected one, until they add up to the total."""
    probabilities = _softmax(scores[tokens])
    surprise = -np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
    order = np.argsort(np.abs(surprise - probabilities @ surprise), kind="stable")
    kept = order[: _count_up_to(probabilities[order], total)]
    return tokens[np.sort(kept)]
