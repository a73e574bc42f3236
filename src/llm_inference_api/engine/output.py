"""What one answer says, token by token: complete characters, thoughts and calls apart, stop strings withheld."""

import codecs
from collections import deque
from collections.abc import Callable
from collections.abc import Sequence as Texts
from itertools import pairwise
from typing import NamedTuple

from llm_inference_api.requests.events import CallPart, Logprobs, Text, Thought, TokenLogprob
from llm_inference_api.text.families.reading.reader import Part, PlainReader, Reader
from llm_inference_api.text.stop_strings import first_stop, longest_stop_start


class Said(NamedTuple):
    """What a token adds to an answer."""

    text: str = ""
    """Text of the content."""
    thought: str = ""
    calls: tuple[CallPart, ...] = ()
    logprobs: Logprobs = ()
    """Log probabilities of the tokens of `text`."""


class OutputText:
    """Text of one sequence, built token by token. Stop strings end it where they appear in its content."""

    def __init__(
        self, stop: Texts[str], is_complete: Callable[[str], bool] | None = None, reader: Reader | None = None
    ) -> None:
        """Creates an empty output.

        Args:
            stop: Stop strings.
            is_complete: Returns whether a text is a complete answer under the constraint. A stop string only ends the
                answer where the text before it is complete. None: any text is.
            reader: Parses the answer into content, thoughts and calls. None: all of it is content.
        """
        self._is_complete = is_complete
        self._reader = reader or PlainReader()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stop = tuple(stop)
        self._whole = ""
        """The whole text so far, with thoughts and calls; kept for `is_complete` only."""
        self._ends: list[int] = []
        """For each token, the number of characters of the whole text up to its end."""
        self._decoded = 0
        """Number of characters of the whole text."""
        self._held = _Content()
        self._scored = _ScoredTokens()
        self.matched = ""
        """The stop string that has appeared; empty for none."""

    def add(self, piece: bytes, *, final: bool = False, logprob: TokenLogprob | None = None) -> Said:
        """Adds a token's bytes and returns what can be emitted now.

        Incomplete characters, possible starts of a stop string and of a marker are held back; with `final`, nothing is.
        Invalid UTF-8 becomes U+FFFD.
        """
        if self.stopped:
            return Said()
        decoded = self._decoded_of(piece, logprob, final=final)
        self._decoded += len(decoded)
        self._ends.append(self._decoded)
        if self._is_complete is not None:
            self._whole += decoded
        return self._said(self._reader.add(decoded, final=final), final=final)

    @property
    def stopped(self) -> bool:
        """Whether a stop string has appeared."""
        return bool(self.matched)

    @property
    def closing(self) -> str | None:
        """Text that ends the thoughts which are being read; see `Reader.closing`."""
        return self._reader.closing

    @property
    def is_inside_character(self) -> bool:
        """Whether the last token ends with a part of a character."""
        return bool(self._decoder.getstate()[0])

    @property
    def thought_tokens(self) -> int:
        """Number of tokens with characters in thoughts or their markers."""
        ranges = self._reader.thought_ranges
        if not ranges:
            return 0
        tokens = ((start, max(end, start + 1)) for start, end in pairwise((0, *self._ends)))
        return sum(any(first < end and start < last for first, last in ranges) for start, end in tokens)

    def _decoded_of(self, piece: bytes, logprob: TokenLogprob | None, *, final: bool) -> str:
        """Returns the characters that the bytes complete, and keeps the log probability of their token."""
        if logprob is None or not piece:
            return self._decoder.decode(piece, final)
        # What is left of a broken character becomes U+FFFD now, and belongs to the tokens before.
        is_broken = bool(self._decoder.getstate()[0]) and not _continues(piece)
        decoded = self._decoder.decode(piece, final)
        self._scored.add(self._decoded + is_broken, self._decoded + len(decoded), logprob)
        return decoded

    def _said(self, parts: list[Part], *, final: bool) -> Said:
        text, thought = "", ""
        calls: list[CallPart] = []
        logprobs: list[TokenLogprob] = []
        for piece, size in parts:
            if isinstance(piece, Text):
                self._held.add(piece.text)
                continue
            more, scores = self._take(final=True)  # A stop string does not extend over what stands between.
            text, logprobs = text + more, logprobs + scores
            if self.stopped:
                return Said(text, thought, tuple(calls), tuple(logprobs))
            self._held.skip(size)
            if isinstance(piece, Thought):
                thought += piece.text
            elif isinstance(piece, CallPart):
                calls.append(piece)
        more, scores = self._take(final=final)
        return Said(text + more, thought, tuple(calls), tuple(logprobs + scores))

    def _take(self, *, final: bool) -> tuple[str, list[TokenLogprob]]:
        """Takes the content that can be emitted now, with its log probabilities; sets `stopped` at a stop string."""
        text, start = self._held.text, self._held.start
        if not text:
            return "", []
        end = len(text)
        if self._stop:
            stop = self._end()
            if stop is not None:
                self.matched = next(word for word in self._stop if text.startswith(word, stop))
            end = len(text) - (0 if final else longest_stop_start(text, self._stop)) if stop is None else stop
        return self._held.take(end), self._scored.take(start, start + end)

    def _end(self) -> int | None:
        text = self._held.text
        if self._is_complete is None:
            return first_stop(text, self._stop)
        ends = sorted({at for word in self._stop for at in _places(text, word)})
        return next((end for end in ends if self._is_complete(self._whole[: self._held.start + end])), None)


class _Content:
    """Content that is held back, and its place in the whole text."""

    def __init__(self) -> None:
        self.text = ""
        self.start = 0
        """Index of the first held character, or of the next one, in the whole text."""

    def add(self, text: str) -> None:
        self.text += text

    def take(self, size: int) -> str:
        taken, self.text = self.text[:size], self.text[size:]
        self.start += size
        return taken

    def skip(self, size: int) -> None:
        """Passes over characters that are no content; none may be held."""
        self.start += size


class _ScoredTokens:
    """Log probabilities of tokens whose text is not emitted yet."""

    def __init__(self) -> None:
        self._tokens: deque[tuple[int, int, TokenLogprob]] = deque()

    def add(self, start: int, end: int, logprob: TokenLogprob) -> None:
        """Adds a token that completes the characters from `start` to `end`; none, if it is a part of the next one."""
        self._tokens.append((start, max(end, start + 1), logprob))

    def take(self, start: int, end: int) -> list[TokenLogprob]:
        """Returns the tokens with characters from `start` to `end`, and drops those before."""
        found = []
        while self._tokens and self._tokens[0][0] < end:
            _, token_end, logprob = self._tokens.popleft()
            if token_end > start:
                found.append(logprob)
        return found


def _continues(piece: bytes) -> bool:
    """Returns whether the bytes begin inside a character."""
    return piece[:1] >= b"\x80" and piece[:1] < b"\xc0"


def _places(text: str, word: str) -> list[int]:
    return [at for at in range(len(text)) if text.startswith(word, at)]
