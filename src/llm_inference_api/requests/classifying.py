"""Requests to classify a text by the labels of a model's head."""

from typing import NamedTuple

from llm_inference_api.requests.inquiry import Input


class Classify(NamedTuple):
    """Asks how probable each of the model's labels is."""

    text: Input


class Classes(NamedTuple):
    """How probable the labels are, in the order of `ModelInfo.labels`."""

    probabilities: tuple[float, ...]
    """They add up to 1."""
    tokens: int
    """Number of tokens of the text, special tokens included."""
