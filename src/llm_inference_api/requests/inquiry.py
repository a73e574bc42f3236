"""Requests to a model other than generation: tokenize, detokenize, render, parse, embed."""

import sys
from array import array
from collections.abc import Sequence
from typing import NamedTuple

from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.events import Piece
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.requests.sizes import check_size

MAX_INPUTS = 128
MAX_TOKENS = 100_000
"""Maximum number of tokens in all token lists of a request together."""


class Tokenize(NamedTuple):
    """Asks for the tokens of a text.

    `add_special` adds the tokens that the model puts around every text, such as BOS; `parse_special` maps the text of a
    special token to that token.
    """

    text: str
    add_special: bool
    parse_special: bool


class Detokenize(NamedTuple):
    """Asks for the text of tokens."""

    token_ids: tuple[int, ...]


class Render(NamedTuple):
    """Asks for the prompt that a chat request is rendered to."""

    request: GenerationRequest


class Parse(NamedTuple):
    """Asks how a text is read that answers a chat request."""

    request: GenerationRequest
    pieces: tuple[str, ...]
    """The text, as it arrives."""


class Token(NamedTuple):
    """A token of a text, with its bytes, which need not be valid UTF-8."""

    id: int
    text: bytes


class Input(NamedTuple):
    """A text to embed."""

    field: str
    """Name of the request's field, for error messages."""
    content: str | tuple[int, ...]
    """The text, or its token ids."""


class Embed(NamedTuple):
    """Asks for the embeddings of texts."""

    inputs: tuple[Input, ...]
    dimensions: int | None = None
    """Number of leading components to keep; None: all."""
    is_background: bool = False
    """Whether it is computed after those that are not."""


class Embedding(NamedTuple):
    """Embedding of a text: a vector of Euclidean norm 1."""

    vector: bytes
    """The components in the NumPy format `VECTOR_TYPE`."""
    tokens: int
    """Number of input tokens, special tokens included."""

    @property
    def numbers(self) -> Sequence[float]:
        """The vector's components. Uses `array`, as fast as NumPy here, which the server process does not import."""
        numbers = array("f", self.vector)
        if sys.byteorder == "big":
            numbers.byteswap()
        return numbers


VECTOR_TYPE = "<f4"
"""NumPy dtype of the components: little-endian float32."""

Inquiry = Tokenize | Detokenize | Render | Parse
Findings = tuple[Token, ...]
Readings = tuple[tuple[Piece, ...], ...]
"""For each piece of a text, what it adds to the answer."""
Found = Findings | Readings
Embeddings = tuple[Embedding, ...]


def checked_inputs(field: str, inputs: Sequence[Input], dimensions: int | None = None) -> Embed:
    """Returns the embedding request for a field's inputs.

    Raises:
        InvalidFieldError: There are too few or too many inputs, one is empty, or they are too large together; or
            `dimensions` is below 1.
    """
    if dimensions is not None and dimensions < 1:
        raise InvalidFieldError("dimensions", f"must be at least 1, not {dimensions}")
    check_input_count(field, len(inputs))
    for item in inputs:
        if not item.content:
            raise InvalidFieldError(item.field, "is empty")
    check_size(field, sum(len(item.content.encode()) for item in inputs if isinstance(item.content, str)))
    check_tokens(field, sum(len(item.content) for item in inputs if not isinstance(item.content, str)))
    return Embed(tuple(inputs), dimensions)


def check_input_count(field: str, count: int) -> None:
    """Raises InvalidFieldError if there are no or too many inputs."""
    if not 1 <= count <= MAX_INPUTS:
        raise InvalidFieldError(field, f"must have 1 to {MAX_INPUTS} items, not {count}")


def check_tokens(field: str, count: int) -> None:
    """Raises InvalidFieldError if `count` exceeds `MAX_TOKENS`."""
    if count > MAX_TOKENS:
        raise InvalidFieldError(field, f"has {count} tokens; at most {MAX_TOKENS} are allowed")
