"""What can be asked of a model beside answers: what it makes of texts, and their embeddings."""

import sys
from array import array
from collections.abc import Sequence
from typing import NamedTuple

from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.limits import check_size
from llm_inference_api.requests.request import GenerationRequest

MAX_INPUTS = 128
MAX_TOKENS = 100_000
"""Of all token lists of a request together."""


class Tokenize(NamedTuple):
    """Asks for the tokens of a text."""

    text: str
    add_special: bool
    parse_special: bool


class Detokenize(NamedTuple):
    """Asks for the text of tokens."""

    token_ids: tuple[int, ...]


class Render(NamedTuple):
    """Asks for the prompt of a request."""

    request: GenerationRequest


class Token(NamedTuple):
    """An entry of the vocabulary."""

    id: int
    text: bytes


class Input(NamedTuple):
    """A text to embed."""

    field: str
    """The field of the request that has it."""
    content: str | tuple[int, ...]
    """The text, or its tokens."""


class Embed(NamedTuple):
    """Asks for the embeddings of texts."""

    inputs: tuple[Input, ...]


class Embedding(NamedTuple):
    """What a text is about, as a vector of length 1."""

    vector: bytes
    """Its numbers as `VECTOR_TYPE`."""
    tokens: int
    """Of the text, with those that the model wants around every text."""

    @property
    def numbers(self) -> Sequence[float]:
        """The vector's numbers. As fast as NumPy's way, which the server's process does not load."""
        numbers = array("f", self.vector)
        if sys.byteorder == "big":
            numbers.byteswap()
        return numbers


VECTOR_TYPE = "<f4"
"""How NumPy calls the type of a vector's numbers: F32, the lowest byte first."""

Inquiry = Tokenize | Detokenize | Render
Findings = tuple[Token, ...]
Embeddings = tuple[Embedding, ...]


def checked_inputs(field: str, inputs: Sequence[Input]) -> Embed:
    """Returns the question for the field's inputs. Raises InvalidFieldError where one is empty or they are too many."""
    if not 1 <= len(inputs) <= MAX_INPUTS:
        raise InvalidFieldError(field, f"must have 1 to {MAX_INPUTS} items, not {len(inputs)}")
    for item in inputs:
        if not item.content:
            raise InvalidFieldError(item.field, "is empty")
    check_size(field, sum(len(item.content.encode()) for item in inputs if isinstance(item.content, str)))
    check_tokens(field, sum(len(item.content) for item in inputs if not isinstance(item.content, str)))
    return Embed(tuple(inputs))


def check_tokens(field: str, count: int) -> None:
    """Raises InvalidFieldError where a field has too many tokens."""
    if count > MAX_TOKENS:
        raise InvalidFieldError(field, f"has {count} tokens; at most {MAX_TOKENS} are allowed")
