"""Turns the bytes of tokens into text that can be sent: whole characters, and nothing of a stop string."""

import codecs
from collections.abc import Callable
from collections.abc import Sequence as Texts

from llm_inference_api.text.stop_strings import first_stop, longest_stop_start


class OutputText:
    """The text of one answer, token by token."""

    def __init__(self, stop: Texts[str], is_complete: Callable[[str], bool] | None = None) -> None:
        """Takes what says whether a text is a whole answer, where not every text is; stop strings end no other."""
        self._is_complete = is_complete
        self._sent = ""
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
        end = self._end()
        if end is not None:
            self.stopped = True
            text, self._held = self._held[:end], ""
            return text
        keep = 0 if final else longest_stop_start(self._held, self._stop)
        cut = len(self._held) - keep
        text, self._held = self._held[:cut], self._held[cut:]
        if self._is_complete is not None:
            self._sent += text
        return text

    def _end(self) -> int | None:
        if self._is_complete is None:
            return first_stop(self._held, self._stop)
        ends = sorted({at for word in self._stop for at in _places(self._held, word)})
        return next((end for end in ends if self._is_complete(self._sent + self._held[:end])), None)


def _places(text: str, word: str) -> list[int]:
    return [at for at in range(len(text)) if text.startswith(word, at)]
