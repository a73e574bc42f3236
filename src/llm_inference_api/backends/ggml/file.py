"""Parser and validator of legacy GGML files, the `.bin` format before GGUF.

ctransformers does not validate its input: a wrong size overruns its memory, and a truncated file leaves weights
uninitialized. So each file is validated here before it is loaded.
"""

import json
import re
import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from llm_inference_api.errors import ModelFailedError
from llm_inference_api.files import open_regular

GGUF = b"GGUF"
_GGML = b"lmgg"
_ADAPTER = b"algg"
_LEGACY = {_GGML, b"fmgg", b"tjgg", b"ccgg", _ADAPTER}
"""Magic numbers ggml, ggmf, ggjt, ggcc and ggla, stored as little-endian integers."""

_ARCHITECTURES = {
    "dollyv2": "dollyv2",
    "falcon": "falcon",
    "gpt2": "gpt2",
    "gptbigcode": "starcoder",
    "gptj": "gptj",
    "gptneox": "gptneox",
    "llama": "llama",
    "mpt": "mpt",
    "replit": "replit",
    "starcoder": "starcoder",
}
"""ctransformers' architecture by `model_type`, in lower case and without punctuation."""
_KNOWN = "dolly-v2, falcon, gpt2, gpt_bigcode, gptj, gpt_neox, llama, mpt, replit, starcoder"


@dataclass(frozen=True, slots=True)
class _Layout:
    """Header layout of an architecture's files."""

    numbers: tuple[str, ...]
    """Names of the int32 fields after the magic number."""
    repeats_vocabulary_size: bool = False
    has_scores: bool = False
    """Whether each token is followed by a float32 score."""


_GPT = ("vocabulary", "context", "width", "heads", "layers")
_MOSAIC = ("width", "context", "heads", "layers", "vocabulary")
_LAYOUTS = {
    "dollyv2": _Layout((*_GPT, "rotary", "parallel", "type")),
    "gpt2": _Layout((*_GPT, "type"), repeats_vocabulary_size=True),
    "gptj": _Layout((*_GPT, "rotary", "type"), repeats_vocabulary_size=True),
    "gptneox": _Layout((*_GPT, "rotary", "parallel", "type")),
    "mpt": _Layout((*_MOSAIC, "alibi", "clip", "type")),
    "replit": _Layout((*_MOSAIC, "type"), has_scores=True),
    "starcoder": _Layout((*_GPT, "type"), repeats_vocabulary_size=True),
}
"""Layouts of ctransformers' loaders (models/llms/*.cc). Falcon and LLaMA are missing: their loaders validate."""
_LARGEST = {"vocabulary": 1 << 20, "context": 1 << 20, "width": 1 << 16, "heads": 1 << 10, "layers": 1 << 10}

_BLOCKS = {
    0: (1, 4),
    1: (1, 2),
    2: (32, 18),
    3: (32, 20),
    6: (32, 22),
    7: (32, 24),
    8: (32, 34),
    9: (32, 40),
    10: (256, 84),
    11: (256, 110),
    12: (256, 144),
    13: (256, 176),
    14: (256, 210),
}
"""Weights and bytes per block by `ggml_type`, as in ctransformers' ggml (quantization version 2)."""


@dataclass(frozen=True, slots=True)
class FileShape:
    """Sizes from a file's header."""

    context_length: int
    width: int
    layers: int
    parameters: int


@dataclass(frozen=True, slots=True)
class LegacyFile:
    """A parsed file without its weights. Files of Falcon and LLaMA are not parsed: their loaders validate them."""

    architecture: str
    shape: FileShape | None = None
    pieces: tuple[bytes, ...] = ()
    """Bytes of each token, as stored in the file."""
    scores: tuple[float, ...] = ()
    """Unigram score of each token; empty if the tokenizer has none."""


class _DamagedError(Exception):
    """The file does not match its architecture's format."""


def is_legacy(path: Path) -> bool:
    """Returns whether the file has a legacy magic number; False if it cannot be read.

    Raises ModelFailedError for a LoRA adapter, and for a `.bin` file with an unknown magic number.
    """
    try:
        with open_regular(path) as file:
            magic = file.read(4)
    except OSError:
        return False
    if magic == _ADAPTER:
        raise ModelFailedError("the file is a LoRA adapter, not a model")
    if magic not in _LEGACY and magic != GGUF and path.suffix.lower() == ".bin":
        raise ModelFailedError("the file has neither the magic number of GGUF nor one of legacy GGML")
    return magic in _LEGACY


def read(path: Path) -> LegacyFile:
    """Parses and validates a legacy file; its weights are skipped.

    Raises:
        ModelFailedError: The architecture is unknown, or the file is truncated or does not match it.
    """
    architecture = _architecture(path)
    layout = _LAYOUTS.get(architecture)
    if layout is None:
        return LegacyFile(architecture)
    try:
        with path.open("rb") as file:
            return _read(_FileReader(file, path.stat().st_size), architecture, layout)
    except _DamagedError as error:
        raise ModelFailedError(f"the file is damaged, or is not a {architecture} model: {error}") from error


def _architecture(path: Path) -> str:
    """Returns the architecture named by `config.json` beside the file; legacy files have no such field."""
    wanted = f'a config.json beside it must hold {{"model_type": …}}, one of {_KNOWN}'
    try:
        config = json.loads((path.parent / "config.json").read_text(encoding="utf-8"))
        name = config["model_type"]
    except FileNotFoundError:
        raise ModelFailedError(f"a legacy GGML file does not name its architecture: {wanted}") from None
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        raise ModelFailedError(f"the config.json beside the legacy GGML file has no model_type: {wanted}") from None
    known = _ARCHITECTURES.get(re.sub(r"[\W_]", "", str(name)).lower())
    if known is None:
        raise ModelFailedError(f"model_type {str(name)[:50]!r} is not supported for a legacy GGML file: {wanted}")
    return known


class _FileReader:
    """Bounds-checked reader; raises _DamagedError at the end of the file."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self.left = size

    def bytes(self, count: int) -> bytes:
        self._take(count)
        return self._file.read(count)

    def skip(self, count: int) -> None:
        self._take(count)
        self._file.seek(count, 1)

    def integer(self) -> int:
        return int.from_bytes(self.bytes(4), "little", signed=True)

    def number(self) -> float:
        value: float = struct.unpack("<f", self.bytes(4))[0]
        return value

    def _take(self, count: int) -> None:
        if not 0 <= count <= self.left:
            raise _DamagedError("it is truncated")
        self.left -= count


def _read(reader: _FileReader, architecture: str, layout: _Layout) -> LegacyFile:
    if reader.bytes(4) != _GGML:
        raise _DamagedError("its header is that of another architecture")
    numbers = {name: reader.integer() for name in layout.numbers}
    for name, largest in _LARGEST.items():
        if not 0 < numbers[name] <= largest:
            raise _DamagedError(f"its header has the invalid value {numbers[name]} for {name}")
    if layout.repeats_vocabulary_size and reader.integer() != numbers["vocabulary"]:
        raise _DamagedError("its header has two different vocabulary sizes")
    pieces, scores = _read_vocabulary(reader, numbers["vocabulary"], has_scores=layout.has_scores)
    if architecture == "mpt":
        pieces = tuple(map(_byte_of_each_character, pieces))
    parameters = _check_tensors(reader, numbers["layers"])
    shape = FileShape(numbers["context"], numbers["width"], numbers["layers"], parameters)
    return LegacyFile(architecture, shape, pieces, scores)


def _read_vocabulary(
    reader: _FileReader, size: int, *, has_scores: bool
) -> tuple[tuple[bytes, ...], tuple[float, ...]]:
    pieces, scores = [], []
    for _ in range(size):
        pieces.append(reader.bytes(reader.integer()))
        if has_scores:
            scores.append(reader.number())
    return tuple(pieces), tuple(scores)


def _byte_of_each_character(piece: bytes) -> bytes:
    """Decodes a token of MPT, whose converter stored each byte as the UTF-8 of the code point of the same value."""
    try:
        return bytes(ord(character) & 0xFF for character in piece.decode())
    except UnicodeDecodeError:
        raise _DamagedError("its vocabulary is not written in UTF-8") from None


def _check_tensors(reader: _FileReader, layers: int) -> int:
    """Skips all tensors and returns the number of weights. Raises _DamagedError if a layer lacks tensors."""
    parameters, per_layer = 0, Counter[int]()
    while reader.left:
        name, weights = _skip_tensor(reader)
        parameters += weights
        if layer := re.search(rb"\d+", name):
            per_layer[int(layer[0])] += 1
    if set(per_layer) != set(range(layers)) or len(set(per_layer.values())) != 1:
        raise _DamagedError(f"tensors of its {layers} layers are missing")
    return parameters


def _skip_tensor(reader: _FileReader) -> tuple[bytes, int]:
    dimensions, name_length, kind = reader.integer(), reader.integer(), reader.integer()
    if dimensions not in (1, 2) or kind not in _BLOCKS:
        raise _DamagedError("it has a tensor of unknown type")
    sizes = [reader.integer() for _ in range(dimensions)]
    name = reader.bytes(name_length)
    block, block_bytes = _BLOCKS[kind]
    if min(sizes) < 1 or sizes[0] % block:
        raise _DamagedError("it has a tensor of invalid size")
    weights = sizes[0] * (sizes[1] if dimensions == 2 else 1)
    reader.skip(weights // block * block_bytes)
    return name, weights
