"""Memory that recurrent layers take, from a GGUF header.

Such a layer keeps a state for each seat, whatever the length of its sequence. As llama.cpp has it
(`llama_memory_recurrent` in src/llama-memory-recurrent.cpp, `n_embd_r` and `n_embd_s` in src/llama-hparams.cpp).
"""

from collections.abc import Mapping

from llm_inference_api.models.header_numbers import Value, number, per_layer

_BYTES_PER_NUMBER = 4
"""States are F32."""
_INTERVALS = {"qwen3next": 4, "qwen35": 4, "qwen35moe": 4, "minimax-01": 8}
"""Which layer of so many has attention, where the header does not say (load_arch_hparams in src/models)."""
PARALLEL = ("falcon-h1",)
"""Architectures whose layers all have attention and a state."""


def state_sizes(header: Mapping[str, Value], architecture: str, layers: int) -> list[int]:
    """Returns the bytes that each layer takes for one seat; 0 of those that are not recurrent."""
    size = _numbers(header, architecture) * _BYTES_PER_NUMBER
    return [size if keeps_one else 0 for keeps_one in recurrent_layers(header, architecture, layers)]


def recurrent_layers(header: Mapping[str, Value], architecture: str, layers: int) -> list[bool]:
    """Returns for each layer whether it keeps a state."""
    if not _numbers(header, architecture):
        return [False] * layers
    if architecture in PARALLEL:
        return [True] * layers
    if isinstance(header.get(f"{architecture}.attention.recurrent_layers"), tuple):
        listed = per_layer(header, f"{architecture}.attention.recurrent_layers", layers, 0)
        return [bool(is_recurrent) for is_recurrent in listed]
    if interval := number(header, f"{architecture}.full_attention_interval", _INTERVALS.get(architecture, 0)):
        return [(layer + 1) % interval != 0 for layer in range(layers)]
    kv_heads = per_layer(header, f"{architecture}.attention.head_count_kv", layers, 0)
    hidden = per_layer(header, f"{architecture}.feed_forward_length", layers, 0)
    if 0 in hidden:  # Layers with a feed-forward network have nothing else.
        return [not heads and not width for heads, width in zip(kv_heads, hidden, strict=True)]
    return [not heads for heads in kv_heads]


def _numbers(header: Mapping[str, Value], architecture: str) -> int:
    """Returns how many numbers a recurrent layer keeps for a seat; 0 if the header names no such layer."""

    def of(key: str, default: int = 0) -> int:
        return number(header, f"{architecture}.{key}", default)

    width, kernel = of("embedding_length"), of("ssm.conv_kernel")
    heads = max(per_layer(header, f"{architecture}.attention.head_count", 1, 0))
    if head := of("wkv.head_size"):
        return of("token_shift_count", 2) * width + width * head
    if window := of("shortconv.l_cache"):
        return width * (window - 1)
    if head := of("kda.head_dim"):
        return 3 * (max(kernel, 1) - 1 if kernel else 3) * heads * head + head * head * heads
    if architecture == "minimax-01":
        return of("attention.key_length", width // max(heads, 1)) ** 2 * heads
    inner, state = of("ssm.inner_size"), of("ssm.state_size")
    convolved = inner + 2 * of("ssm.group_count") * state
    return (max(kernel, 1) - 1) * convolved + state * inner
