"""tokenizer.model: the protobuf of a sentencepiece model; llama.cpp's algorithm equals its BPE kind.

Only these fields are read (sentencepiece_model.proto of google/sentencepiece), without a protobuf library.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gguf import TokenType

from llm_inference_api.models.convert.errors import ConversionError
from llm_inference_api.models.convert.tokenizer.vocabulary import SPACE_MARK, GgufToken, GgufVocabulary

# ModelProto
_PIECES, _TRAINER, _NORMALIZER = 1, 2, 3
# SentencePiece
_PIECE, _SCORE, _TYPE = 1, 2, 3
# TrainerSpec
_MODEL_TYPE, _BYTE_FALLBACK = 3, 35
# NormalizerSpec
_CHARSMAP, _ADD_DUMMY_PREFIX, _REMOVE_EXTRA_WHITESPACES = 2, 3, 4

_BPE = 2
_KINDS = {
    1: TokenType.NORMAL,
    2: TokenType.UNKNOWN,
    3: TokenType.CONTROL,
    4: TokenType.USER_DEFINED,
    5: TokenType.UNUSED,
    6: TokenType.BYTE,
}

# The names that sentencepiece gives its special pieces unless told otherwise.
_DEFAULTS = {"bos": "<s>", "eos": "</s>", "unknown": "<unk>"}
_SPECIAL = (TokenType.CONTROL, TokenType.UNKNOWN)

Field = int | float | bytes


@dataclass(frozen=True, slots=True)
class SentencePieceModel:
    """The pieces of a model in the order of their ids, and whether a space is put before the text."""

    pieces: list[GgufToken]
    dummy_prefix: bool

    def vocabulary(self) -> GgufVocabulary:
        """Returns the model in the terms of a GGUF file."""
        named = {token.text: id_ for id_, token in enumerate(self.pieces) if token.kind in _SPECIAL}
        defaults = {name: named[text] for name, text in _DEFAULTS.items() if text in named}
        tokens = dict(enumerate(self.pieces))
        return GgufVocabulary("llama", "default", tokens, space_prefix=self.dummy_prefix, default_ids=defaults)


def read_sentencepiece(path: Path) -> SentencePieceModel:
    """Returns the model in a file. Raises ConversionError where there is none that llama.cpp has an equivalent for."""
    try:
        fields = list(_fields(path.read_bytes()))
        trainer = dict(_message(fields, _TRAINER))
        normalizer = dict(_message(fields, _NORMALIZER))
        pieces = [
            _piece(dict(_fields(value))) for number, value in fields if number == _PIECES and isinstance(value, bytes)
        ]
    except (ValueError, IndexError, KeyError, struct.error) as error:
        raise ConversionError(f"{path.name}: not a sentencepiece model ({error})") from error
    _check(path.name, trainer, normalizer, pieces)
    return SentencePieceModel(pieces, bool(normalizer.get(_ADD_DUMMY_PREFIX, 1)))


def _check(name: str, trainer: dict[int, Field], normalizer: dict[int, Field], pieces: list[GgufToken]) -> None:
    if trainer.get(_MODEL_TYPE, 1) != _BPE:
        raise ConversionError(
            f"{name}: must be of sentencepiece's BPE kind; llama.cpp has no equal for the others here"
        )
    if not trainer.get(_BYTE_FALLBACK) or sum(token.kind is TokenType.BYTE for token in pieces) != 256:
        raise ConversionError(
            f"{name}: must have byte_fallback, without which llama.cpp cannot write unknown characters"
        )
    if normalizer.get(_CHARSMAP):
        raise ConversionError(f"{name}: normalises characters before it splits text, which llama.cpp has no equal for")
    if normalizer.get(_REMOVE_EXTRA_WHITESPACES, 1):
        raise ConversionError(f"{name}: removes extra white space, which llama.cpp has no equal for")


def _piece(fields: dict[int, Field]) -> GgufToken:
    text, score, kind = fields[_PIECE], fields.get(_SCORE, 0.0), _KINDS[int(fields.get(_TYPE, 1))]
    written = bytes(text).decode("utf-8") if isinstance(text, bytes) else ""
    return GgufToken(
        written.replace(SPACE_MARK, " ") if kind is TokenType.USER_DEFINED else written, kind, float(score)
    )


def _message(fields: list[tuple[int, Field]], wanted: int) -> Iterator[tuple[int, Field]]:
    for number, value in fields:
        if number == wanted and isinstance(value, bytes):
            yield from _fields(value)


def _fields(data: bytes) -> Iterator[tuple[int, Field]]:
    """Number and value of each field (https://protobuf.dev/programming-guides/encoding)."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
        elif wire == 2:
            size, at = _varint(data, at)
            if at + size > len(data):
                raise ValueError("truncated")
            yield number, data[at : at + size]
            at += size
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
            yield number, struct.unpack_from("<d" if wire == 1 else "<f", data, at)[0]
            at += size
        else:
            raise ValueError(f"wire type {wire}")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
