"""Notices that an answer which must call tools makes a call again, which models do until they are cut."""

import re
from collections.abc import Sequence

from llguidance import LLMatcher, LLTokenizer

_BETWEEN = b"\n\r\t;, "
"""Characters between two calls."""


class RepeatedCall:
    """Reads an answer token by token."""

    def __init__(
        self, matcher: LLMatcher, tokenizer: LLTokenizer, closing: list[int], varying: Sequence[str] = ()
    ) -> None:
        """Begins with an empty answer.

        Args:
            matcher: The matcher of the answer, which others advance.
            tokenizer: The model's tokenizer.
            closing: Tokens after the last call.
            varying: See `Constraint.varying`.
        """
        self._matcher = matcher
        self._tokenizer = tokenizer
        self._closing = closing
        self._varying = [re.compile(pattern.encode()) for pattern in varying]
        self._text = b""
        self._first = b""
        """The text up to the end of the first call, perhaps with thoughts before it."""
        self._others: set[bytes] = set()
        """The calls after the first."""
        self._end = 0
        """End of the last complete call."""
        self._left: list[int] | None = None
        """What is left to come after the last call, once it is an earlier one again."""

    def add(self, token: int) -> None:
        """Adds a token that the matcher has consumed."""
        piece = self._tokenizer.decode_bytes([token])
        self._text += piece
        if self._left is not None:
            self._left = self._left[1:] if self._left[:1] == [token] else self._left
            return
        if not self._is_after_call(piece):
            return
        call, self._end = self._without_varying(self._text[self._end :].strip(_BETWEEN)), len(self._text)
        if not call:  # White space after a call.
            return
        if not self._first:
            self._first = self._without_varying(self._text).rstrip(_BETWEEN)
            return
        if self._first.endswith(call) or call in self._others:
            self._left = self._closing
        self._others.add(call)

    def last(self) -> list[int]:
        """Returns the tokens one of which must come next, because the last call is an earlier one again; else none."""
        if self._left is None:
            return []
        return self._left[:1] or list(self._tokenizer.eos_tokens)

    def _is_after_call(self, piece: bytes) -> bool:
        if not self._closing:
            return self._matcher.is_accepting()
        if piece.strip()[-1:].isalnum():  # A call ends with a sign. Most tokens need no further look.
            return False
        closed = self._matcher.deep_copy()
        return closed.try_consume_tokens(self._closing) == len(self._closing) and closed.is_accepting()

    def _without_varying(self, text: bytes) -> bytes:
        for pattern in self._varying:
            text = pattern.sub(b"", text)
        return text
