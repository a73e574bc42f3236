"""Answers inquiries: tokenize, detokenize, render a chat, parse an answer. Runs on the preparer's thread."""

from collections.abc import Sequence
from typing import Protocol

from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.inquiry import Detokenize, Found, Inquiry, Parse, Readings, Render, Token, Tokenize
from llm_inference_api.worker.preparer import Preparer


class TokenTexts(Protocol):
    """The part of a vocabulary that the inspector needs."""

    size: int

    def text(self, token: int) -> bytes:
        """Returns the bytes that spell the token, control tokens included."""


class Inspector:
    """Answers inquiries about one model."""

    def __init__(self, preparer: Preparer, vocabulary: TokenTexts) -> None:
        self._preparer = preparer
        self._vocabulary = vocabulary

    def answer(self, inquiry: Inquiry) -> Found:
        """Returns the inquiry's tokens, each with its bytes; of a text to parse, what each of its pieces adds.

        Raises:
            InvalidFieldError: A token id is not in the vocabulary, or the chat template rejects the messages.
            ContextLengthError: The text is longer than the context.
        """
        if isinstance(inquiry, Parse):
            return self._read(inquiry)
        return tuple(Token(token, self._vocabulary.text(token)) for token in self._tokens(inquiry))

    def _read(self, inquiry: Parse) -> Readings:
        reader = self._preparer.reader(inquiry.request)
        last = len(inquiry.pieces) - 1
        read = (reader.add(piece, final=index == last) for index, piece in enumerate(inquiry.pieces))
        return tuple(tuple(part.piece for part in parts if part.piece is not None) for parts in read)

    def _tokens(self, inquiry: Tokenize | Detokenize | Render) -> Sequence[int]:
        match inquiry:
            case Tokenize(text, add_special, parse_special):
                flags = {"add_special": add_special, "parse_special": parse_special}
                return self._preparer.tokenize(text, **flags, field="text")
            case Render(request):
                return self._preparer.tokens(request)
            case Detokenize(token_ids):
                self._check(token_ids)
                return token_ids

    def _check(self, token_ids: Sequence[int]) -> None:
        for index, token in enumerate(token_ids):
            if not 0 <= token < self._vocabulary.size:
                problem = f"token {token} is not in the model's vocabulary of {self._vocabulary.size}"
                raise InvalidFieldError(f"token_ids[{index}]", problem)
