"""tokenizer.model: the protobuf of a sentencepiece model; llama.cpp's algorithm equals its BPE kind.

Field names, numbers and defaults are those of `src/sentencepiece_model.proto` in google/sentencepiece (proto2,
Apache-2.0). Only the fields that are read here are declared; protobuf skips all others.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gguf import TokenType
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from llm_inference_api.models.convert.errors import ConversionError
from llm_inference_api.models.convert.tokenizer.vocabulary import SPACE_MARK, GgufToken, GgufVocabulary

_Kind = FieldDescriptorProto
_SCHEMA = {
    # Where proto2's own types let faults pass, others of the same encoding are declared: an enum of an unknown value
    # reads as if it were not set, and a string is not checked to be UTF-8.
    "SentencePiece": (
        ("piece", 1, _Kind.TYPE_BYTES, None),
        ("score", 2, _Kind.TYPE_FLOAT, None),
        ("type", 3, _Kind.TYPE_INT32, "1"),
    ),
    "TrainerSpec": (
        ("model_type", 3, _Kind.TYPE_INT32, "1"),
        ("byte_fallback", 35, _Kind.TYPE_BOOL, None),
    ),
    "NormalizerSpec": (
        ("precompiled_charsmap", 2, _Kind.TYPE_BYTES, None),
        ("add_dummy_prefix", 3, _Kind.TYPE_BOOL, "true"),
        ("remove_extra_whitespaces", 4, _Kind.TYPE_BOOL, "true"),
    ),
    "ModelProto": (
        ("pieces", 1, "SentencePiece", None),
        ("trainer_spec", 2, "TrainerSpec", None),
        ("normalizer_spec", 3, "NormalizerSpec", None),
    ),
}
"""Messages with the name, number, type and default of their fields. `pieces` alone is repeated."""

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
        model = _model_class().FromString(path.read_bytes())
        pieces = [_token(piece) for piece in model.pieces]
    except (DecodeError, ValueError, KeyError) as error:
        raise ConversionError(f"{path.name}: not a sentencepiece model ({error})") from error
    _check(path.name, model, pieces)
    return SentencePieceModel(pieces, model.normalizer_spec.add_dummy_prefix)


def _check(name: str, model: Any, pieces: list[GgufToken]) -> None:
    trainer, normalizer = model.trainer_spec, model.normalizer_spec
    if trainer.model_type != _BPE:
        raise ConversionError(
            f"{name}: must be of sentencepiece's BPE kind; llama.cpp has no equal for the others here"
        )
    if not trainer.byte_fallback or sum(token.kind is TokenType.BYTE for token in pieces) != 256:
        raise ConversionError(
            f"{name}: must have byte_fallback, without which llama.cpp cannot write unknown characters"
        )
    if normalizer.precompiled_charsmap:
        raise ConversionError(f"{name}: normalises characters before it splits text, which llama.cpp has no equal for")
    if normalizer.remove_extra_whitespaces:
        raise ConversionError(f"{name}: removes extra white space, which llama.cpp has no equal for")


def _token(piece: Any) -> GgufToken:
    if not piece.HasField("piece"):
        raise ValueError("a piece without text")
    text, kind = piece.piece.decode(), _KINDS[piece.type]
    return GgufToken(text.replace(SPACE_MARK, " ") if kind is TokenType.USER_DEFINED else text, kind, piece.score)


def _model_class() -> Any:
    """Returns the class of ModelProto messages.

    Its descriptors are in a pool of their own: the default pool refuses a second definition of `sentencepiece`'s
    messages, and the packages sentencepiece and transformers bring one.
    """
    file = FileDescriptorProto(name="sentencepiece_model.proto", package="sentencepiece")
    for name, fields in _SCHEMA.items():
        message = file.message_type.add(name=name)
        for field, number, kind, default in fields:
            label = _Kind.LABEL_REPEATED if field == "pieces" else _Kind.LABEL_OPTIONAL
            added = message.field.add(name=field, number=number, label=label, default_value=default)
            if isinstance(kind, str):
                added.type, added.type_name = _Kind.TYPE_MESSAGE, f".sentencepiece.{kind}"
            else:
                added.type = kind
    pool = DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName("sentencepiece.ModelProto"))
