"""Incremental detokenization: complete UTF-8 characters, with stop strings withheld."""

import codecs
from collections.abc import Callable
from collections.abc import Sequence as Texts

from llm_inference_api.text.stop_strings import first_stop, longest_stop_start


class OutputText:
    """Text of one sequence, built token by token."""

    def __init__(self, stop: Texts[str], is_complete: Callable[[str], bool] | None = None) -> None:
        """Creates an empty output.

        Args:
            stop: Stop strings.
            is_complete: Returns whether a text is a complete answer under the constraint. A stop string only ends the
                answer where the text before it is complete. None: any text is.
        """
        self._is_complete = is_complete
        self._sent = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stop = tuple(stop)
        self._held = ""
        self.stopped = False
        """Whether a stop string has appeared."""

    def add(self, piece: bytes, *, final: bool = False) -> str:
        """Adds a token's bytes and returns the text that can be emitted now.

        Incomplete characters and possible starts of a stop string are held back; with `final`, nothing is. Invalid
        UTF-8 becomes U+FFFD.
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
