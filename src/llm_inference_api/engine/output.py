"""Turns the bytes of tokens into text that can be sent: whole characters, and nothing of a stop string."""

import codecs
from collections.abc import Sequence as Texts


class OutputText:
    """The text of one answer, token by token."""

    def __init__(self, stop: Texts[str]) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stop = tuple(stop)
        self._held = ""
        self.stopped = False
        """Whether a stop string has appeared."""

    def add(self, piece: bytes, *, final: bool = False) -> str:
        """Returns the text that can be sent after this token; with `final`, all that is left.

        A character that the tokens never complete becomes U+FFFD.
        """
        if self.stopped:
            return ""
        self._held += self._decoder.decode(piece, final)
        end = first_stop(self._held, self._stop)
        if end is not None:
            self.stopped = True
            text, self._held = self._held[:end], ""
            return text
        keep = 0 if final else longest_stop_start(self._held, self._stop)
        cut = len(self._held) - keep
        text, self._held = self._held[:cut], self._held[cut:]
        return text


def first_stop(text: str, stop: Texts[str]) -> int | None:
    """Returns where the first stop string begins in the text, or None."""
    found = [at for at in (text.find(word) for word in stop) if at >= 0]
    return min(found, default=None)


def longest_stop_start(text: str, stop: Texts[str]) -> int:
    """Returns how many characters at the text's end may be the beginning of a stop string."""
    return max((_overlap(text, word) for word in stop), default=0)


def _overlap(text: str, word: str) -> int:
    longest = min(len(text), len(word) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(word[:size])), 0)
