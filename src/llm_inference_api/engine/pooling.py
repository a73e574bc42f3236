"""How the vectors of a text's tokens become one."""

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
"""Architectures whose tokens see those after them too."""


class Pooling(IntEnum):
    """`enum llama_pooling_type` (llama.h)."""

    NONE = 0
    MEAN = 1
    CLS = 2
    """The first token's."""
    LAST = 3
    RANK = 4
    """No vector: a score of two texts."""


def pooling_of(metadata: Mapping[str, str]) -> Pooling:
    """Returns what a model file's metadata says; the mean where it says nothing, or a number that is not known."""
    said = metadata.get(f"{metadata.get('general.architecture')}.pooling_type", "")
    known = {str(kind.value): kind for kind in Pooling if kind is not Pooling.NONE}
    return known.get(said, Pooling.MEAN)


def is_encoder(metadata: Mapping[str, object]) -> bool:
    """Returns whether the model reads texts only: its tokens see those after them, so none can be generated.

    The metadata may be what llama.cpp says, in texts, or what a file has.
    """
    architecture = metadata.get("general.architecture", "")
    causal = str(metadata.get(f"{architecture}.attention.causal", True))
    return architecture in _ENCODERS or causal.lower() == "false"
