"""Pooling types of embedding models, and which models are encoders."""

import re
from collections.abc import Mapping
from enum import IntEnum

_ENCODERS = frozenset(
    {
        "bert",
        "eurobert",
        "gemma-embedding",
        "jina-bert-v2",
        "jina-bert-v3",
        "llama-embed",
        "modern-bert",
        "neo-bert",
        "nomic-bert",
        "nomic-bert-moe",
    }
)
"""Architectures with bidirectional attention."""


MATRYOSHKA = "llm_inference_api.embedding.matryoshka_dimensions"
"""Metadata key of a converted checkpoint's `matryoshka_dimensions`, a list of integers in JSON."""


class Pooling(IntEnum):
    """How token vectors become one vector; values of `enum llama_pooling_type` (llama.h)."""

    NONE = 0
    MEAN = 1
    CLS = 2
    """Vector of the first token."""
    LAST = 3
    RANK = 4
    """Reranker: a score of two texts instead of a vector."""


def pooling_of(metadata: Mapping[str, str], default: Pooling = Pooling.MEAN) -> Pooling:
    """Returns the pooling type in a GGUF file's metadata; the default if it is missing, NONE or unknown."""
    value = metadata.get(f"{metadata.get('general.architecture')}.pooling_type", "")
    known = {str(kind.value): kind for kind in Pooling if kind is not Pooling.NONE}
    return known.get(value, default)


def trained_cuts(metadata: Mapping[str, str]) -> tuple[int, ...]:
    """Returns to how many components the model's vectors were trained to be cut; nothing where it is unsaid."""
    return tuple(int(number) for number in re.findall(r"\d+", metadata.get(MATRYOSHKA, "")))


def is_encoder(metadata: Mapping[str, object]) -> bool:
    """Returns whether the model has bidirectional attention, so that it cannot generate.

    The metadata's values may be typed, as in a GGUF file, or strings, as llama.cpp returns them.
    """
    architecture = metadata.get("general.architecture", "")
    causal = str(metadata.get(f"{architecture}.attention.causal", True))
    return architecture in _ENCODERS or causal.lower() == "false"
