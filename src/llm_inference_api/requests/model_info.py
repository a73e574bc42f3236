"""`ModelInfo`: properties of a loaded model."""

from typing import NamedTuple


def short_count(count: int) -> str:
    """Returns a number of parameters in a few characters, such as `1.1B`, `135M` or `920K`."""
    for unit, size in (("B", 10**9), ("M", 10**6), ("K", 10**3)):
        if count >= 0.9995 * size:
            return f"{count / size:.1f}{unit}" if count < 9.95 * size else f"{count / size:.0f}{unit}"
    return str(count)


class ThinkingOptions(NamedTuple):
    """What requests may say of thinking to a model."""

    can_be_off: bool = False
    """Whether it can be turned on and off."""
    efforts: tuple[str, ...] = ()
    """Words for how much to think, from the least to the most; empty: the model knows none."""
    by_default: bool = False
    """Whether the model is told to think where a request says nothing. False where it cannot be told."""


class ModelInfo(NamedTuple):
    """Properties of a loaded model, reported by its worker."""

    description: str
    parameters: int
    size_bytes: int
    context_length: int
    trained_context_length: int
    vocabulary_size: int
    slots: int
    cache_tokens: int
    has_chat_template: bool
    devices: tuple[str, ...]
    tool_format: str = "generic"
    """`Form.name` of the model's answers."""
    opens_thoughts: bool = False
    """Whether the chat template opens a thinking section at the start of each answer."""
    generates: bool = True
    """Whether the model generates text; otherwise it computes embeddings or ranks only."""
    embedding_length: int = 0
    """Dimension of the embeddings; 0 if the model computes none."""
    ranks: bool = False
    """Whether the model computes the relevance of documents to a query."""
    labels: tuple[str, ...] = ()
    """Labels of a head that classifies texts; empty: the model has none."""
    thinking: ThinkingOptions = ThinkingOptions()
    adapters: tuple[str, ...] = ()
    """Ids of the LoRA adapters."""
    chat_template: str = ""
    """Source of the chat template for chats without tools, in Jinja; empty: the model has none."""
    state_bytes: int = 0
    """What recurrent layers keep of a sequence; 0: there are none. The server adds it."""
