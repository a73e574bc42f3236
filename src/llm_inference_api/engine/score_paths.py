"""Which tokens to compute, to read the log probabilities of texts that begin alike: each shared beginning once."""

from bisect import bisect_left
from collections.abc import Sequence as Tokens
from typing import NamedTuple


class ScoredText(NamedTuple):
    """A text behind a prefix."""

    tokens: tuple[int, ...]
    first: int
    """Index of the first token to score; those before it belong to the text, but are not."""


class Place(NamedTuple):
    """Where the log probability of a token is read."""

    path: int
    position: int
    """Of the token before it."""
    token: int


class ScorePaths:
    """The leaves of the tree of all texts, each with its way from the root.

    A text's last token is never computed: the row before it has its score. Paths are in the order of their tokens,
    whatever the order of the texts.
    """

    def __init__(self, prefix: Tokens[int], texts: Tokens[ScoredText]) -> None:
        """Creates the paths.

        Args:
            prefix: What all texts stand behind; one token at least.
            texts: Each has one token at least, and a token to score.
        """
        self._prefix = list(prefix)
        computed = sorted({text.tokens[:-1] for text in texts})
        following = [*computed[1:], None]
        self._ways = [
            way
            for way, after in zip(computed, following, strict=True)
            if after is None or after[: len(way)] != way  # What begins another one is computed with it.
        ]
        self.places = [self._places(text) for text in texts]
        """For each text, where its scored tokens are read."""
        self.size = len(prefix) + len({text.tokens[:end] for text in texts for end in range(1, len(text.tokens) + 1)})
        """Number of tokens in the tree."""

    def __len__(self) -> int:
        return len(self._ways)

    def tokens(self, path: int) -> list[int]:
        """Returns all tokens of a path, those of the prefix included."""
        return [*self._prefix, *self._ways[path]]

    def parent(self, path: int) -> int:
        """Returns the path whose computation has all that this one shares with those before it."""
        way, before = self._ways[path], self._ways[path - 1]
        shared = next((at for at, pair in enumerate(zip(way, before, strict=False)) if pair[0] != pair[1]), 0)
        return bisect_left(self._ways, way[:shared])

    def wanted(self) -> list[dict[int, tuple[int, ...]]]:
        """Returns for each path the tokens to score by position of the row before them."""
        found: list[dict[int, dict[int, None]]] = [{} for _ in self._ways]
        for places in self.places:
            for path, position, token in places:
                found[path].setdefault(position, {})[token] = None
        return [{position: tuple(tokens) for position, tokens in sorted(one.items())} for one in found]

    def _places(self, text: ScoredText) -> tuple[Place, ...]:
        behind = len(self._prefix) - 1
        return tuple(
            # The first path that begins so computes the row; others share it.
            Place(bisect_left(self._ways, text.tokens[:at]), behind + at, text.tokens[at])
            for at in range(text.first, len(text.tokens))
        )
