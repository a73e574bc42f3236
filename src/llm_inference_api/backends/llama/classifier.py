"""Classification with llama.cpp: encoders whose head has an output for each of several labels."""

from collections.abc import Callable, Sequence

import llama_cpp.llama_cpp as C
import numpy as np

from llm_inference_api.backends.llama.backend import LlamaModel
from llm_inference_api.backends.llama.embedding_context import EmbeddingContext
from llm_inference_api.engine.pooling import Pooling
from llm_inference_api.errors import ComputationError


class LlamaClassifier:
    """Computes the labels' probabilities; an `engine.classifier.Head`."""

    def __init__(self, model: LlamaModel, context_length: int, threads: int) -> None:
        self._outputs = int(C.llama_model_n_cls_out(model.handle))
        self._context = EmbeddingContext(model, context_length, threads, Pooling.RANK)

    def probabilities(self, tokens: Sequence[int], check: Callable[[], None]) -> tuple[float, ...]:
        """See `Head.probabilities`.

        Raises:
            ModelFailedError: llama.cpp cannot create the context.
            ComputationError: A forward failed, or an output is not finite.
        """
        self._context.clear()
        self._context.forward_whole(tokens, check)
        outputs = self._context.pooled(self._outputs).astype(np.float64)
        if not np.isfinite(outputs).all():
            raise ComputationError("the model computed an output that is not finite; its file may be damaged")
        weights = np.exp(outputs - outputs.max())
        return tuple((weights / weights.sum()).tolist())


def labels_of(model: LlamaModel) -> tuple[str, ...]:
    """Returns the labels of an encoder's head, one for each output; none if one is missing, or there is one output."""
    outputs = int(C.llama_model_n_cls_out(model.handle))
    labels = [
        (C.llama_model_cls_label(model.handle, index) or b"").decode("utf-8", "replace") for index in range(outputs)
    ]
    is_classifier = model.is_encoder and model.has_head and outputs > 1 and all(labels) and len(set(labels)) == outputs
    return tuple(labels) if is_classifier else ()
