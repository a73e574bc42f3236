"""`Pair`: the tokens of a query and a document, as a ranking model reads them."""

from typing import NamedTuple, Protocol


class Pair(NamedTuple):
    """Two texts as one list of tokens."""

    tokens: list[int]
    second: int
    """Index of the first token of type 1 ("sentence B"); their number where all are of type 0."""


class PairTokenizer(Protocol):
    """Joins two texts."""

    def pair(self, first: str, second: str) -> Pair:
        """Returns the tokens of both texts, with those that the model is configured to put around and between them.

        Control tokens in the texts are plain text.
        """
