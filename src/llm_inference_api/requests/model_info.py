"""What is known of a loaded model."""

from typing import NamedTuple


class ModelInfo(NamedTuple):
    """What is known of a loaded model."""

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
    """Name of the `ToolFormat` in which the model writes calls; empty where it has no template."""
    opens_thoughts: bool = False
    """Whether the model's template begins each answer with thoughts."""
    generates: bool = True
    """Whether the model generates text; others compute embeddings only."""
    embedding_length: int = 0
    """Numbers of an embedding; 0 where the model computes none."""
