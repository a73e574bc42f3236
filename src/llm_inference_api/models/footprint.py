"""Estimates the memory that a model needs from its GGUF header, before it is loaded.

The header is parsed here rather than by a library: the server process must survive any file, and needs few values.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from llm_inference_api.backends.ggml.file import is_legacy
from llm_inference_api.engine.pooling import is_encoder
from llm_inference_api.errors import ModelFailedError
from llm_inference_api.files import open_regular
from llm_inference_api.models.header_numbers import Value, number, per_layer
from llm_inference_api.models.layer_states import PARALLEL, recurrent_layers, state_size
from llm_inference_api.requests.engine_config import DEFAULT_CONTEXT_LENGTH, KV_CACHE_CONTEXTS, ContextChoice

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_LFS_POINTER = b"version https://git-lfs"
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9
_MAX_STRING = 64 << 20
_MAX_ITEMS = 1 << 24
_MAX_KEYS = 1 << 16
_MAX_LAYERS = 512
"""LLAMA_MAX_LAYERS of llama.cpp (src/llama-hparams.h): arrays with a number for each layer are not longer."""
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
    """Memory of a loaded model, in bytes."""

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
    context: ContextChoice = _UNSET
    """The sizes that were counted."""

    @property
    def total(self) -> int:
        """Bytes that a worker with this model needs in all."""
        return self.weights + self.cache + self.states + self.store + self.embeddings + _WORKING_BYTES


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
) -> Footprint:
    """Returns the memory that a model needs. The header is read from the first file.

    Sizes that `context` leaves open are lowered to what fits the room; None is room for anything. The store of prefixes
    takes `store` bytes; None: as much as the cache, and `_KEPT_STATES` of recurrent layers, as far as the room allows.
    `slots` is the largest number of sequences that are computed at once.

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
    layers = min(number(header, f"{architecture}.block_count", 0), _MAX_LAYERS)
    if layers:
        layers -= number(header, f"{architecture}.nextn_predict_layers", 0)
    state = state_size(header, architecture, layers)
    states = (slots + 1) * state
    sizes = _Sizes(context, longest, weights + states + _WORKING_BYTES, room)
    if is_encoder(header):
        # No key-value cache; the attention scores of a whole text are held at once, in F32.
        heads = max(per_layer(header, f"{architecture}.attention.head_count", 1, 1)) * 4
        length = sizes.length(lambda left: math.isqrt(left // heads))
        return Footprint(weights, 0, embeddings=heads * length**2, context=replace(context, length=length))
    cell = _cached_numbers(header, architecture, layers) * _BYTES_PER_CACHED_NUMBER
    counted = max(cell, 1)
    # The embedding context takes as much as one full context of the cache.
    length = sizes.length(lambda left: min(left // counted - (context.cache_tokens or 0), left // (2 * counted)))
    cells = sizes.cells(length, lambda left: left // counted - length)
    chosen = ContextChoice(length, cells, may_shrink=context.length is None)
    found = Footprint(weights, cells * cell, states, state, embeddings=length * cell + state, context=chosen)
    if store is None:
        wanted = found.cache + _KEPT_STATES * state
        store = wanted if room is None else max(min(wanted, room.share - found.total), 0)
    return replace(found, store=store)


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
    fixed: int
    """Bytes that a model needs besides its contexts."""
    room: Room | None

    def length(self, fitting: Callable[[int], int]) -> int:
        """Returns the context length in tokens; `fitting` returns the longest one that some bytes suffice for."""
        wanted, _ = self.context.sizes(self.longest)
        if self.room is None or self.context.length is not None:
            return wanted
        fits = fitting(max(self.room.share - self.fixed, 0)) // _ROUNDING * _ROUNDING
        return max(min(wanted, fits), min(wanted, DEFAULT_CONTEXT_LENGTH))

    def cells(self, length: int, fitting: Callable[[int], int]) -> int:
        """Returns the size of the KV cache in tokens; `fitting` is as for `length`. At least one context."""
        choice = self.context if self.context.length is not None else ContextChoice(None, self.context.cache_tokens)
        _, wanted = choice.sizes(length)
        if self.room is None or self.context.cache_tokens is not None:
            return wanted
        if self.context.length is None:
            usual = KV_CACHE_CONTEXTS * min(length, DEFAULT_CONTEXT_LENGTH)
            wanted = min(wanted, max(fitting(max(self.room.share - self.fixed, 0)), usual))
        return max(min(wanted, fitting(max(self.room.most - self.fixed, 0))), length)


def _cached_numbers(header: Mapping[str, Value], architecture: str, layers: int) -> int:
    """Returns the values per cache cell: a key and a value for each key-value head of each layer that has a cache.

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
    return sum(kv_heads[layer] * sizes[bool(slides[layer])] for layer in range(own) if not lacks[layer])


def read_header(path: Path) -> dict[str, Value]:
    """Returns the metadata of a GGUF file, by key, without texts in arrays and arrays longer than `_MAX_LAYERS`.

    Raises:
        ModelFailedError: The file cannot be read, is not GGUF, or its header is damaged; the text says which.
    """
    try:
        with open_regular(path) as file:
            if what := _foreign(file):
                raise ModelFailedError(f"{path.name} is {what}")
            return _read(file)
    except OSError as error:
        raise ModelFailedError(f"{path.name} cannot be read: {error.strerror}") from error
    except (struct.error, UnicodeDecodeError, ValueError) as error:
        raise ModelFailedError(f"the header of {path.name} is damaged, or the file is cut off in it") from error


def _foreign(file: BinaryIO) -> str:
    """Returns what the file is instead of a GGUF file that can be read; empty if it is one. Reads the version."""
    begin = file.read(len(_LFS_POINTER))
    file.seek(len(_MAGIC))
    if not begin:
        return "an empty file"
    if begin == _LFS_POINTER:
        return "a Git LFS pointer: the model itself was not downloaded (git lfs pull)"
    if not begin.startswith(_MAGIC):
        return "not a GGUF file"
    (version,) = struct.unpack("<I", _exactly(file, 4))
    if 0 < version < 1 << 16:
        return "" if version in _VERSIONS else f"GGUF of version {version}; versions 2 and 3 can be read"
    return "GGUF of the other byte order"


def _read(file: BinaryIO) -> dict[str, Value]:
    """Reads what follows the version."""
    _, keys = struct.unpack("<QQ", _exactly(file, 16))
    if keys > _MAX_KEYS:
        raise ValueError
    header: dict[str, Value] = {}
    for _ in range(keys):
        key = _string(file)
        value = _value(file, struct.unpack("<I", _exactly(file, 4))[0])
        if value is not None:
            header[key] = value
    return header


def _value(file: BinaryIO, kind: int) -> Value | None:
    if kind in _SCALARS:
        form = _SCALARS[kind]
        scalar: Value = struct.unpack(form, _exactly(file, struct.calcsize(form)))[0]
        return scalar
    if kind == _STRING:
        return _string(file)
    if kind != _ARRAY:
        raise ValueError
    return _array(file)


def _array(file: BinaryIO) -> Value | None:
    """Returns an array of numbers, at most `_MAX_LAYERS`; passes over others."""
    kind, items = struct.unpack("<IQ", _exactly(file, 12))
    if items > _MAX_ITEMS:
        raise ValueError
    if kind not in _SCALARS:
        for _ in range(items):
            _value(file, kind)
        return None
    form, size = _SCALARS[kind], struct.calcsize(_SCALARS[kind])
    if items > _MAX_LAYERS:
        file.seek(items * size, 1)
        return None
    return tuple(struct.unpack(f"<{items}{form[1:]}", _exactly(file, items * size)))


def _string(file: BinaryIO) -> str:
    (length,) = struct.unpack("<Q", _exactly(file, 8))
    if length > _MAX_STRING:
        raise ValueError
    return _exactly(file, length).decode("utf-8", "replace")


def _exactly(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise ValueError
    return data
