"""Vocabularies and tokenizers of legacy GGML models.

ctransformers' tokenizers take cubic time on long words, and drop and log bytes that are not in the vocabulary. These
return the same tokens in linear time, and reject such bytes.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Protocol

from llm_inference_api.backends.ggml.file import LegacyFile
from llm_inference_api.errors import InvalidFieldError

_END_OF_TEXT = b"<|endoftext|>"
_ENDS = {_END_OF_TEXT, b"<|end|>", b"### End"}
_SPECIAL = {
    "dollyv2": (b"### End", b"### Instruction:", b"### Response:"),
    "starcoder": (
        b"<|system|>",
        b"<|user|>",
        b"<|assistant|>",
        b"<|end|>",
        b"<fim-prefix>",
        b"<fim-middle>",
        b"<fim-suffix>",
        b"<fim-pad>",
        b"<|end_of_turn|>",
    ),
}
"""Special tokens by architecture, if the vocabulary has them (ctransformers: dolly.cc, starcoder.cc)."""
_WORD = re.compile(
    rb"'s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+"  # As in ctransformers' common.h.
)
_SPACE = "▁".encode()
"""SentencePiece's replacement for a space."""


class GgmlVocabulary(Protocol):
    """Vocabulary of a model. Implementations are thread-safe."""

    size: int
    longest_piece: int
    """Length in bytes of the longest token."""

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Returns the token ids of the text. Raises InvalidFieldError for a byte that is not in the vocabulary."""

    def piece(self, token: int) -> bytes:
        """Returns the bytes of a token's text; empty for control tokens."""

    def text(self, token: int) -> bytes:
        """Returns the bytes of a token's text, also for control tokens."""

    def is_end(self, token: int) -> bool:
        """Returns whether the token is an end-of-generation token."""

    def control_texts(self) -> list[str]:
        """Returns the texts of the control tokens that `parse_special` parses."""


def vocabulary_of(file: LegacyFile) -> GgmlVocabulary:
    """Returns the file's vocabulary: unigram if its tokens have scores, else greedy."""
    if file.scores:
        return WeighedVocabulary(file.pieces, file.scores)
    return GreedyVocabulary(file.pieces, _SPECIAL.get(file.architecture, ()))


class GreedyVocabulary:
    """Splits a text into words, and each word into tokens by greedy longest match."""

    def __init__(self, pieces: Sequence[bytes], special: Sequence[bytes]) -> None:
        self._pieces, self._texts = list(pieces), list(pieces)
        self._tokens = {piece: token for token, piece in enumerate(pieces) if piece}
        self.size = len(pieces)
        self.longest_piece = max(map(len, self._tokens), default=1)
        self._special = [text for text in special if text in self._tokens]
        self._any_special = re.compile(b"(" + b"|".join(map(re.escape, self._special)) + b")")
        controls = {self._tokens[text] for text in (*self._special, _END_OF_TEXT) if text in self._tokens}
        self._ends = {token for token in controls if pieces[token] in _ENDS}
        for token in controls:
            self._pieces[token] = b""

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:  # noqa: ARG002 - these models have no BOS or EOS
        """See `GgmlVocabulary.tokenize`."""
        data = text.encode()
        parts = self._any_special.split(data) if parse_special and self._special else [data]
        tokens: list[int] = []
        for at, part in enumerate(parts):
            if at % 2:
                tokens.append(self._tokens[part])
            else:
                tokens += (token for word in _WORD.findall(part) for token in self._cut(word))
        return tokens

    def piece(self, token: int) -> bytes:
        """See `GgmlVocabulary.piece`."""
        return self._pieces[token]

    def text(self, token: int) -> bytes:
        """See `GgmlVocabulary.text`."""
        return self._texts[token]

    def is_end(self, token: int) -> bool:
        """See `GgmlVocabulary.is_end`."""
        return token in self._ends

    def control_texts(self) -> list[str]:
        """See `GgmlVocabulary.control_texts`."""
        return [text.decode() for text in self._special]

    def _cut(self, word: bytes) -> Iterator[int]:
        start = 0
        while start < len(word):
            ends = range(min(start + self.longest_piece, len(word)), start, -1)
            end = next((end for end in ends if word[start:end] in self._tokens), None)
            if end is None:
                raise _cannot_spell(word[start : start + 1])
            yield self._tokens[word[start:end]]
            start = end


class WeighedVocabulary:
    """SentencePiece unigram tokenizer, used by Replit: the segmentation with the highest total score (Viterbi)."""

    def __init__(self, pieces: Sequence[bytes], scores: Sequence[float]) -> None:
        self._texts = [piece.replace(_SPACE, b" ") for piece in pieces]
        self._pieces = [b"" if piece == _END_OF_TEXT else piece for piece in self._texts]
        self._tokens = {piece: token for token, piece in enumerate(pieces) if piece and piece != _END_OF_TEXT}
        self._costs = [-score for score in scores]
        self._ends = {token for token, piece in enumerate(pieces) if piece == _END_OF_TEXT}
        self.size = len(pieces)
        self.longest_piece = max(map(len, self._tokens), default=1)

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:  # noqa: ARG002 - there are no special tokens to parse
        """See `GgmlVocabulary.tokenize`."""
        data = text.encode().replace(b" ", _SPACE)
        best = self._best_tokens(data)
        tokens, end = [], len(data)
        while end:
            token, start = best[end]
            tokens.append(token)
            end = start
        return tokens[::-1]

    def piece(self, token: int) -> bytes:
        """See `GgmlVocabulary.piece`."""
        return self._pieces[token]

    def text(self, token: int) -> bytes:
        """See `GgmlVocabulary.text`."""
        return self._texts[token]

    def is_end(self, token: int) -> bool:
        """See `GgmlVocabulary.is_end`."""
        return token in self._ends

    def control_texts(self) -> list[str]:
        """See `GgmlVocabulary.control_texts`."""
        return []

    def _best_tokens(self, data: bytes) -> dict[int, tuple[int, int]]:
        """Returns, by end position in bytes, the last token of the best segmentation and that token's start."""
        costs = {0: 0.0}
        best: dict[int, tuple[int, int]] = {}
        for start in range(len(data)):
            if start not in costs:
                continue
            for end in range(start + 1, min(start + self.longest_piece, len(data)) + 1):
                token = self._tokens.get(data[start:end])
                if token is not None and costs[start] + self._costs[token] < costs.get(end, float("inf")):
                    costs[end] = costs[start] + self._costs[token]
                    best[end] = token, start
        if len(data) not in costs:
            furthest = max(costs)
            raise _cannot_spell(data[furthest : furthest + 1])
        return best


def _cannot_spell(byte: bytes) -> InvalidFieldError:
    return InvalidFieldError("prompt", f"the model's vocabulary has no token for the byte 0x{byte.hex()} in it")
