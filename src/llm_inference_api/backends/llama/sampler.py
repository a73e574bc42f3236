"""Sampling with llama.cpp's sampler chain."""

import ctypes
import math
from collections.abc import Mapping
from collections.abc import Sequence as Rows
from typing import Any

import llama_cpp.llama_cpp as C
import numpy as np
import numpy.typing as npt

from llm_inference_api.backends.llama.vocabulary import Vocabulary
from llm_inference_api.engine.backend import KEPT, Mask
from llm_inference_api.engine.logprobs import token_logprob
from llm_inference_api.errors import ComputationError
from llm_inference_api.requests.events import TokenLogprob
from llm_inference_api.requests.request import Sampling


class LlamaSampler:
    """A llama.cpp sampler chain; an `engine.backend.Sampler`."""

    def __init__(
        self, context: Any, vocabulary: Vocabulary, sampling: Sampling, prompt: Rows[int], *, ignore_eos: bool
    ) -> None:
        self._context = context
        self._vocabulary = vocabulary
        self._chain = C.llama_sampler_chain_init(C.llama_sampler_chain_default_params())
        bias = dict(sampling.logit_bias)
        if ignore_eos:
            bias |= {token: -math.inf for token in range(vocabulary.size) if vocabulary.is_end(token)}
        self._add_bias(bias)
        self._add_penalties(sampling, prompt)
        self._add_choice(sampling)

    def is_ready(self) -> bool:
        """See `Sampler.is_ready`."""
        return True

    def keep(self, row: int) -> None:
        """See `Sampler.keep`; never needed, since the sampler is always ready."""

    def sample(self, row: int) -> int:
        """See `Sampler.sample`."""
        token = int(C.llama_sampler_sample(self._chain, self._context, row))
        _check_score(C.llama_get_logits_ith(self._context, row)[token])
        return token

    def accept(self, token: int) -> bool:
        """See `Sampler.accept`."""
        C.llama_sampler_accept(self._chain, token)
        return True

    def logprob(self, row: int, token: int, top: int) -> TokenLogprob:
        """See `Sampler.logprob`."""
        scores = self._scores(row).astype(np.float64)
        return token_logprob(scores, token, top, self._vocabulary.piece)

    def close(self) -> None:
        """See `Sampler.close`."""
        if self._chain:
            C.llama_sampler_free(self._chain)
            self._chain = None

    def _scores(self, row: int) -> npt.NDArray[np.float32]:
        pointer = C.llama_get_logits_ith(self._context, row)
        return np.ctypeslib.as_array(pointer, (self._vocabulary.size,))

    def _add(self, sampler: Any) -> None:
        C.llama_sampler_chain_add(self._chain, sampler)

    def _add_bias(self, bias: Mapping[int, float]) -> None:
        if bias:
            entries = (C.llama_logit_bias * len(bias))(*(C.llama_logit_bias(*entry) for entry in bias.items()))
            self._add(C.llama_sampler_init_logit_bias(self._vocabulary.size, len(bias), entries))

    def _add_penalties(self, sampling: Sampling, prompt: Rows[int]) -> None:
        size, window = self._vocabulary.size, int(C.llama_n_ctx_seq(self._context))
        if sampling.repetition_penalty != 1.0:
            repetition = C.llama_sampler_init_penalties(size, window, sampling.repetition_penalty, 0.0, 0.0)
            for token in prompt:
                C.llama_sampler_accept(repetition, token)
            self._add(repetition)
        frequency, presence = sampling.frequency_penalty, sampling.presence_penalty
        if frequency or presence:
            self._add(C.llama_sampler_init_penalties(size, window, 1.0, frequency, presence))

    def _add_choice(self, sampling: Sampling) -> None:
        if sampling.temperature == 0.0:
            self._add(C.llama_sampler_init_greedy())
            return
        if sampling.top_k:
            self._add(C.llama_sampler_init_top_k(min(sampling.top_k, self._vocabulary.size)))
        if sampling.typical_p < 1.0:
            self._add(C.llama_sampler_init_typical(sampling.typical_p, 1))
        if sampling.top_p < 1.0:
            self._add(C.llama_sampler_init_top_p(sampling.top_p, 1))
        if sampling.min_p > 0.0:
            self._add(C.llama_sampler_init_min_p(sampling.min_p, 1))
        self._add(C.llama_sampler_init_temp(sampling.temperature))
        self._add(C.llama_sampler_init_dist(sampling.seed))


_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
"""llama_token_data (llama.h)."""


class MaskedSampler(LlamaSampler):
    """A sampler whose candidates are only the tokens that a mask allows."""

    def __init__(self, context: Any, vocabulary: Vocabulary, sampling: Sampling, prompt: Rows[int], mask: Mask) -> None:
        super().__init__(context, vocabulary, sampling, prompt, ignore_eos=False)
        self._mask = mask
        self._kept: npt.NDArray[np.float32] | None = None

    def is_ready(self) -> bool:
        """See `Sampler.is_ready`."""
        return self._mask.is_ready()

    def keep(self, row: int) -> None:
        """See `Sampler.keep`."""
        self._kept = self._scores(row).copy()

    def _scores(self, row: int) -> npt.NDArray[np.float32]:
        if row == KEPT:
            assert self._kept is not None
            return self._kept
        return super()._scores(row)

    def sample(self, row: int) -> int:
        """See `Sampler.sample`."""
        allowed = self._mask.allowed()
        candidates = np.zeros(len(allowed), _CANDIDATE)
        candidates["id"], candidates["logit"] = allowed, self._scores(row)[allowed]
        data = ctypes.cast(candidates.ctypes.data, ctypes.POINTER(C.llama_token_data))
        array = C.llama_token_data_array(data=data, size=len(allowed), selected=-1, sorted=False)
        C.llama_sampler_apply(self._chain, ctypes.byref(array))
        token = int(array.data[array.selected].id)
        _check_score(self._scores(row)[token])
        C.llama_sampler_accept(self._chain, token)
        self._mask.accept(token)
        return token

    def accept(self, token: int) -> bool:
        """See `Sampler.accept`."""
        if token not in self._mask.allowed():
            return False
        self._mask.accept(token)
        return super().accept(token)


def _check_score(score: float) -> None:
    if not math.isfinite(score):
        raise ComputationError("the model computed scores that are not finite; its file may be damaged")
