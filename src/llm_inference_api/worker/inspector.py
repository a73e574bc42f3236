"""Says what a model makes of texts: their tokens, and the prompt of a chat. Runs where requests are prepared."""

from collections.abc import Sequence
from typing import Protocol

from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.inquiry import Detokenize, Findings, Inquiry, Render, Token, Tokenize
from llm_inference_api.worker.preparer import Preparer


class Texts(Protocol):
    """What inspecting needs of a vocabulary."""

    size: int

    def text(self, token: int) -> bytes:
        """Returns the bytes that spell the token, control tokens included."""


class Inspector:
    """Answers inquiries about one model."""

    def __init__(self, preparer: Preparer, vocabulary: Texts) -> None:
        self._preparer = preparer
        self._vocabulary = vocabulary

    def answer(self, inquiry: Inquiry) -> Findings:
        """Returns the tokens that the inquiry is about; all of its answer follows from them.

        Raises InvalidFieldError and ContextLengthError as preparing does.
        """
        return tuple(Token(token, self._vocabulary.text(token)) for token in self._tokens(inquiry))

    def _tokens(self, inquiry: Inquiry) -> Sequence[int]:
        match inquiry:
            case Tokenize(text, add_special, parse_special):
                return self._preparer.tokenize(text, add_special=add_special, parse_special=parse_special)
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
