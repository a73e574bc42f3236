"""Relevance with llama.cpp: models whose head makes a score of a query and a document."""

import math
from collections.abc import Callable

import llama_cpp.llama_cpp as C
import numpy as np
import numpy.typing as npt

from llm_inference_api.backends.llama.backend import LlamaModel
from llm_inference_api.backends.llama.embedding_context import EmbeddingContext
from llm_inference_api.engine.pooling import Pooling
from llm_inference_api.errors import ComputationError
from llm_inference_api.text.pairs import Pair

_ANSWERS = ("yes", "no")
"""Labels of the two outputs of a generative ranker (conversion/qwen.py of llama.cpp)."""
_TYPES = "token_types.weight"
_TOKENS = "token_embd.weight"


class LlamaRanker:
    """Computes relevance; an `engine.ranker.Scores`."""

    def __init__(self, model: LlamaModel, context_length: int, threads: int) -> None:
        self._model = model
        self._outputs = int(C.llama_model_n_cls_out(model.handle))
        self._context = EmbeddingContext(model, context_length, threads, Pooling.RANK)

    def score(self, pair: Pair, check: Callable[[], None]) -> float:
        """See `Scores.score`.

        Raises:
            ModelFailedError: llama.cpp cannot create the context.
            ComputationError: A forward failed, or the score is not finite.
        """
        self._context.clear()
        if self._model.is_encoder:
            self._context.forward_whole(pair.tokens, check, self._typed(pair))
        else:
            for start in range(0, len(pair.tokens), self._context.rows):
                check()
                self._context.forward(pair.tokens[start : start + self._context.rows], start)
        score = float(self._context.pooled(self._outputs)[0])
        if not math.isfinite(score):
            raise ComputationError("the model computed a score that is not finite; its file may be damaged")
        return score if self._outputs == len(_ANSWERS) else _logistic(score)

    def _typed(self, pair: Pair) -> npt.NDArray[np.float32] | None:
        """Returns the vectors of the tokens with their types, from which llama.cpp's own differ: it knows type 0 alone.

        None where all are of that type. llama.cpp adds the vector of type 0 itself.
        """
        if pair.second >= len(pair.tokens) or self._model.token_types < 2:
            return None
        tensors, width = self._model.tensors, self._model.embedding_length
        vectors = tensors.rows(_TOKENS, pair.tokens, width)
        first, second = tensors.rows(_TYPES, (0, 1), width)
        vectors[pair.second :] += second - first
        return np.ascontiguousarray(vectors)


def ranking_problem(model: LlamaModel) -> str | None:
    """Returns why a model cannot rank; None if it can."""
    outputs = int(C.llama_model_n_cls_out(model.handle))
    labels = tuple(C.llama_model_cls_label(model.handle, index) or b"" for index in range(outputs))
    if not model.has_head:
        return "it has no head (cls.weight, cls.output.weight)"
    if outputs == 1 and not model.answers_in_words:
        return None
    if model.answers_in_words and labels == tuple(word.encode() for word in _ANSWERS):
        return None
    return f"its head has {outputs} outputs; a ranker's has one, or two with the labels {' and '.join(_ANSWERS)}"


def _logistic(score: float) -> float:
    return 1.0 / (1.0 + math.exp(-score)) if score >= 0 else math.exp(score) / (1.0 + math.exp(score))
