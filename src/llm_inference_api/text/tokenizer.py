"""Protocol of a tokenizer."""

from typing import Protocol


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
