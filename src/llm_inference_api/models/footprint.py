"""Estimates the memory that a model needs from its GGUF header, before it is loaded."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from llm_inference_api.backends.ggml.file import is_legacy
from llm_inference_api.engine.pooling import is_encoder
from llm_inference_api.errors import ModelFailedError
from llm_inference_api.models.gguf_header import MAX_LAYERS, read_header
from llm_inference_api.models.header_numbers import Value, number, per_layer
from llm_inference_api.models.layer_states import PARALLEL, recurrent_layers, state_sizes
from llm_inference_api.models.offload import Offload
from llm_inference_api.requests.engine_config import DEFAULT_CONTEXT_LENGTH, KV_CACHE_CONTEXTS, ContextChoice

_OTHERS = {
    "adapter": "a LoRA adapter",
    "imatrix": "an importance matrix",
    "mmproj": "a projector for images or sound",
    "clip": "a projector for images or sound",
    "controlvector": "a control vector",
}
"""What GGUF files hold beside models, by `general.type` or `general.architecture` (GGUFType in gguf-py)."""
_BYTES_PER_CACHED_NUMBER = 2
"""Keys and values are cached as F16."""
_ROUNDING = 256
"""Multiple of tokens that a context is shortened to; llama.cpp pads the cache to it."""
_WORKING_BYTES = 192 << 20
"""Overhead of a worker process: Python, llama.cpp's compute buffers at 512 rows, and the tokenizer."""


_KEPT_STATES = 32
"""Prefixes of ended requests that the store holds of a model with recurrent layers; each has a state, whatever its
length. llama-server keeps as many of a slot."""
_UNSET = ContextChoice()


@dataclass(frozen=True, slots=True)
class Footprint:
    """Memory of a loaded model, in bytes, wherever it is."""

    weights: int
    cache: int
    """The key-value cache, including cached prefixes of ended requests."""
    states: int = 0
    """The states of recurrent layers, of one sequence for each slot and one that is copied."""
    state: int = 0
    """That of one sequence."""
    store: int = 0
    """What prefixes of ended requests may take beside the cache."""
    embeddings: int = 0
    """The context that computes embeddings; created by the first request for them."""
    away: int = 0
    """What of all this RPC servers hold, rather than this machine."""
    context: ContextChoice = _UNSET
    """The sizes that were counted."""

    @property
    def total(self) -> int:
        """Bytes that a worker with this model needs of this machine in all."""
        all_of_it = self.weights + self.cache + self.states + self.store + self.embeddings + _WORKING_BYTES
        return all_of_it - self.away


@dataclass(frozen=True, slots=True)
class Room:
    """Memory that a model may take, in bytes."""

    share: int
    """What it may take for a context longer than `DEFAULT_CONTEXT_LENGTH` that nobody asked for."""
    most: int
    """What all models may take together."""


def estimate(  # noqa: PLR0913 - one for each part
    files: Sequence[Path],
    context: ContextChoice,
    room: Room | None = None,
    store: int | None = None,
    adapters: Sequence[Path] = (),
    *,
    slots: int = 1,
    offload: Offload | None = None,
) -> Footprint:
    """Returns the memory that a model needs. The header is read from the first file.

    Sizes that `context` leaves open are lowered to what fits the room; None is room for anything. The store of prefixes
    takes `store` bytes; None: as much as the cache, and `_KEPT_STATES` of recurrent layers, as far as the room allows.
    `slots` is the largest number of sequences that are computed at once, `offload` what RPC servers compute.

    Raises:
        ModelFailedError: The header cannot be read, or it says that the file is no model.
    """
    weights = sum(file.stat().st_size for file in (*files, *adapters))
    if is_legacy(files[0]):
        # A rough guess: ctransformers caches F32 and reports no size.
        return Footprint(weights, weights, context=context)
    header = read_header(files[0])
    architecture = str(header.get("general.architecture", ""))
    if what := _OTHERS.get(str(header.get("general.type"))) or _OTHERS.get(architecture):
        raise ModelFailedError(f"{files[0].name} is {what}, not a model; name the model's own file")
    longest = _longest_context(header, architecture, context)
    layers = blocks = min(number(header, f"{architecture}.block_count", 0), MAX_LAYERS)
    if layers:
        layers -= number(header, f"{architecture}.nextn_predict_layers", 0)
    first = layers if offload is None else offload.first(blocks)
    away = 0 if offload is None else offload.weights(files, blocks)
    layer_states = state_sizes(header, architecture, layers)
    state = _Bytes.of(layer_states, first)
    states = state * (slots + 1)
    fixed = _Bytes(weights - away + _WORKING_BYTES, away + _WORKING_BYTES) + states
    sizes = _Sizes(context, longest, *_left(room, offload, fixed))
    if is_encoder(header):
        # No key-value cache; the attention scores of a whole text are held at once, in F32.
        heads = max(per_layer(header, f"{architecture}.attention.head_count", 1, 1)) * 4
        length = sizes.length(lambda left: math.isqrt(left.here // heads))
        chosen = replace(context, length=length)
        return Footprint(weights, 0, embeddings=heads * length**2, away=away, context=chosen)
    cell = _Bytes.of(_cached_numbers(header, architecture, layers), first) * _BYTES_PER_CACHED_NUMBER
    # The embedding context takes as much as one full context of the cache.
    length = sizes.length(lambda left: min(left.holds(cell) - (context.cache_tokens or 0), left.holds(cell * 2)))
    cells = sizes.cells(length, lambda left: left.holds(cell) - length)
    chosen = ContextChoice(length, cells, may_shrink=context.length is None)
    cache, embeddings = cell * cells, cell * length + state
    away += (cache + states + embeddings).away
    found = Footprint(weights, cache.all, states.all, state.all, 0, embeddings.all, away, chosen)
    if store is None:
        wanted = found.cache + _KEPT_STATES * found.state
        store = wanted if room is None else max(min(wanted, room.share - found.total), 0)
    return replace(found, store=store)


@dataclass(frozen=True, slots=True)
class _Bytes:
    """Bytes of this machine's memory, and of that of RPC servers."""

    here: int
    away: int = 0

    @classmethod
    def of(cls, layers: Sequence[int], first: int) -> "_Bytes":
        """Returns what layers take, of which those from the first one on are offloaded."""
        return cls(sum(layers[:first]), sum(layers[first:]))

    @property
    def all(self) -> int:
        """Wherever they are."""
        return self.here + self.away

    def holds(self, part: "_Bytes") -> int:
        """Returns how often the part fits; for one that takes nothing, the bytes here."""
        pairs = ((self.here, part.here), (self.away, part.away))
        return min((room // size for room, size in pairs if size), default=self.here)

    def __add__(self, other: "_Bytes") -> "_Bytes":
        return _Bytes(self.here + other.here, self.away + other.away)

    def __mul__(self, count: int) -> "_Bytes":
        return _Bytes(self.here * count, self.away * count)


def _left(room: Room | None, offload: Offload | None, fixed: _Bytes) -> "tuple[_Bytes, _Bytes] | tuple[None, None]":
    """Returns what a model's share and all its memory leave for contexts; None without bounds."""
    if room is None:
        return None, None
    away = max(offload.free - fixed.away, 0) if offload is not None else 0
    return _Bytes(max(room.share - fixed.here, 0), away), _Bytes(max(room.most - fixed.here, 0), away)


def _longest_context(header: Mapping[str, Value], architecture: str, context: ContextChoice) -> int:
    """Returns the longest context to use, in tokens; 0 if the file does not say.

    For longrope models it is the original one unless a length is set: with a longer one, llama.cpp computes all prompts
    with the long factors, short ones too.
    """
    trained = number(header, f"{architecture}.context_length", 0)
    scaling = f"{architecture}.rope.scaling"
    if context.length is None and header.get(f"{scaling}.type") == "longrope":
        return number(header, f"{scaling}.original_context_length", trained)
    return trained


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Chooses the sizes that the settings leave open."""

    context: ContextChoice
    longest: int
    share: _Bytes | None
    """What is left for contexts of the model's share; None without bounds."""
    most: _Bytes | None
    """What is left for them of all memory."""

    def length(self, fitting: Callable[[_Bytes], int]) -> int:
        """Returns the context length in tokens; `fitting` returns the longest one that some bytes suffice for."""
        wanted, _ = self.context.sizes(self.longest)
        if self.share is None or self.context.length is not None:
            return wanted
        fits = fitting(self.share) // _ROUNDING * _ROUNDING
        return max(min(wanted, fits), min(wanted, DEFAULT_CONTEXT_LENGTH))

    def cells(self, length: int, fitting: Callable[[_Bytes], int]) -> int:
        """Returns the size of the KV cache in tokens; `fitting` is as for `length`. At least one context."""
        choice = self.context if self.context.length is not None else ContextChoice(None, self.context.cache_tokens)
        _, wanted = choice.sizes(length)
        if self.share is None or self.most is None or self.context.cache_tokens is not None:
            return wanted
        if self.context.length is None:
            usual = KV_CACHE_CONTEXTS * min(length, DEFAULT_CONTEXT_LENGTH)
            wanted = min(wanted, max(fitting(self.share), usual))
        return max(min(wanted, fitting(self.most)), length)


def _cached_numbers(header: Mapping[str, Value], architecture: str, layers: int) -> list[int]:
    """Returns the values per cache cell of each layer: a key and a value for each head, where it has a cache.

    As llama.cpp has it (`llama_kv_cache` in src/llama-kv-cache.cpp, sizes from src/llama-hparams.cpp).
    """
    attention = f"{architecture}.attention"
    heads = per_layer(header, f"{attention}.head_count", layers, 1)
    kv_heads = per_layer(header, f"{attention}.head_count_kv", layers, heads)
    size = number(header, f"{architecture}.embedding_length", 0) // heads[0] if heads and heads[0] > 0 else 0
    key = number(header, f"{attention}.key_length", size)
    value = number(header, f"{attention}.value_length", size)
    sizes = {False: key + value}
    key_swa = number(header, f"{attention}.key_length_swa", key)
    sizes[True] = key_swa + number(header, f"{attention}.value_length_swa", value)
    # Unless each layer says whether its window slides, every layer is taken to be of the larger kind.
    larger = sizes[True] > sizes[False]
    slides = per_layer(header, f"{attention}.sliding_window_pattern", layers, int(larger), only_arrays=True)
    if all(number(header, f"{attention}.{name}_length_mla", 0) for name in ("key", "value")):
        sizes = dict.fromkeys(sizes, key)  # Multi-head latent attention: values are a part of the cached keys.
    own = layers - number(header, f"{attention}.shared_kv_layers", 0)  # The last layers read the caches of others.
    lacks = [False] * layers if architecture in PARALLEL else recurrent_layers(header, architecture, layers)
    return [kv_heads[layer] * sizes[bool(slides[layer])] if not lacks[layer] else 0 for layer in range(own)]
