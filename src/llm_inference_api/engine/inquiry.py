"""What can be asked of a model beside answers: what it makes of texts."""

from typing import NamedTuple

from llm_inference_api.engine.request import GenerationRequest


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


Inquiry = Tokenize | Detokenize | Render
Findings = tuple[Token, ...]
