"""Protocol of a tokenizer."""

from typing import NamedTuple, Protocol


class Infill(NamedTuple):
    """Ids of the tokens that ask for the text between a prefix and a suffix."""

    prefix: int
    suffix: int
    middle: int


class SpecialTokens(NamedTuple):
    """Ids of the tokens that prompts without a text of their own need."""

    infill: Infill | None = None
    """None for a model that was not trained to fill in the middle."""
    start: tuple[int, ...] = ()
    """The token that begins a text, or the one that ends texts where there is none; empty without either."""


NO_SPECIAL_TOKENS = SpecialTokens()


class Tokenizer(Protocol):
    """A vocabulary that can tokenize."""

    size: int
    """Number of tokens."""
    longest_piece: int
    """Length in bytes of the longest token."""

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Returns the token ids of the text.

        Args:
            text: The text.
            add_special: Whether to add the BOS and EOS tokens that the model is configured for.
            parse_special: Whether control tokens in the text are parsed instead of tokenized as plain text.
        """
