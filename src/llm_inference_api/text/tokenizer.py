"""What turns a text into tokens."""

from typing import Protocol


class Tokenizer(Protocol):
    """A vocabulary, for those who prepare text."""

    size: int
    longest_piece: int

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Returns the tokens of the text."""
