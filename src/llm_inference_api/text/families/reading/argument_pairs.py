"""Arguments that are written as pairs of a key and a value, turned into a JSON object while they arrive."""

import json
from typing import NamedTuple

from llm_inference_api.text.families.form import Pairs, Slot, Values
from llm_inference_api.text.families.reading.answer_source import Parsing, Source
from llm_inference_api.text.families.reading.argument_types import ArgumentType
from llm_inference_api.text.families.reading.literals import Literal, Miss, skip_space
from llm_inference_api.text.families.reading.loose_values import LooseValue, Write, escaped
from llm_inference_api.text.families.reading.text_values import TextValues, ValueEnd, filled, until

_LONGEST_WORD = 256
"""Characters of a key, or of the word at KIND."""
_NOT_IN_BARE_KEY = "\"'`()[]{},<>"
"""Characters that a key does not have where no marker stands before it."""


class PairHead(NamedTuple):
    """A pair up to its value."""

    key: str
    kind: str
    """The word at KIND; empty if there is none."""
    end: int
    """Offset of the value."""


class PairsReader:
    """Reads the arguments of calls of one form."""

    def __init__(self, pairs: Pairs, tail: str) -> None:
        """Takes the form of the arguments, and the text of a call behind them."""
        at = pairs.pair.index(Slot.VALUE)
        self._pairs = pairs
        self._head = [Literal(part) if isinstance(part, str) else part for part in pairs.pair[:at]]
        self._ending = pairs.pair[at + 1 :]
        last = pairs.pair[at - 1] if at else ""
        self._lead = last[len(last.rstrip()) :] if isinstance(last, str) else ""
        """White space of the form before a value."""
        self._separator, self._opening, self._closing = map(Literal, (pairs.separator, pairs.opening, pairs.closing))
        self._after = self._closing or Literal("".join(tail.split()[:1]))
        """The marker that shows that there are no more pairs; empty if none does."""
        self._values = TextValues(pairs)

    def begins(self, source: Source, at: int) -> Parsing[int]:
        """Returns an offset if arguments begin at the given one, perhaps none at all; else a `Miss`."""
        if self._opening:
            at = yield from self._opening.match(source, at)
            if at < 0:
                return at
        at = yield from skip_space(source, at)
        after = (yield from self._after.match(source, at)) if self._after else Miss.NONE
        if after >= 0:
            return after
        pair = yield from self._pair_head(source, at)
        if isinstance(pair, PairHead):
            return at
        return Miss.CUT if Miss.CUT in (pair, after) else at if not self._after else after

    def read(self, source: Source, write: Write, kind: ArgumentType) -> Parsing[bool]:
        """Reads arguments that begin at the first offset, up to the text of the call behind them.

        Args:
            source: The text.
            write: Takes pieces of a JSON object.
            kind: The type of the arguments.

        Returns:
            Whether they are complete. If not, the answer ends here; what is left of it is the beginning of markup.
        """
        write("{")
        yield from _take(source, self._opening)
        count = 0
        while True:
            yield from source.skip_space()
            after = (yield from self._after.match(source)) if self._after else Miss.NONE
            pair = Miss.NONE if after >= 0 else (yield from self._next_pair(source, count))
            if not isinstance(pair, PairHead):
                break
            source.take(pair.end)
            write(f"{', ' if count else ''}{json.dumps(pair.key, ensure_ascii=False)}: ")
            count += 1
            if not (yield from self._value(source, write, pair, kind.key(pair.key))):
                return False
        if pair == Miss.CUT or (after == Miss.CUT and not source.size):
            return False
        write("}")
        yield from _take(source, self._closing)
        return True

    def _next_pair(self, source: Source, count: int) -> Parsing[PairHead | Miss]:
        at = 0
        if count and self._separator:
            at = yield from self._separator.match(source)
            if at < 0:
                return Miss(at)
            at = yield from skip_space(source, at)
        return (yield from self._pair_head(source, at))

    def _pair_head(self, source: Source, at: int) -> Parsing[PairHead | Miss]:
        words = {Slot.KEY: "", Slot.KIND: ""}
        for index, part in enumerate(self._head):
            if isinstance(part, Literal):
                at = yield from part.match(source, at)
                if at < 0:
                    return Miss(at)
                continue
            following = self._head[index + 1] if index + 1 < len(self._head) else None
            stop = following.core[:1] if isinstance(following, Literal) else ""
            word = yield from _word(source, at, stop, "" if index else _NOT_IN_BARE_KEY)
            if isinstance(word, Miss):
                return word
            at += len(word)
            words[part] = word.strip().strip("\"'")
        if self._pairs.values is Values.TEXT:
            at = yield from _behind_space(source, at, self._lead)
        return PairHead(words[Slot.KEY], words[Slot.KIND], at) if words[Slot.KEY] else Miss.NONE

    def _value(self, source: Source, write: Write, pair: PairHead, kind: ArgumentType) -> Parsing[bool]:
        end = Literal(filled(self._ending, pair.key))
        values = self._pairs.values
        if values in (Values.PYTHON, Values.BARE) or (values is Values.JSON and not end):
            quote = self._pairs.quote if values is Values.BARE else ""
            is_complete = yield from LooseValue(source, write, quote=quote, stop=end.core[:1]).read()
            yield from _take(source, end)
            return is_complete
        stops = [ValueEnd(text) for text in (end.text, self._separator.text, self._after.text) if text.strip()]
        stops = stops[:1] if end else stops
        return (yield from self._text(source, write, pair, kind, stops))

    def _text(
        self, source: Source, write: Write, pair: PairHead, kind: ArgumentType, stops: list[ValueEnd]
    ) -> Parsing[bool]:
        end = Literal(stops[0].text) if stops else Literal("")
        opening, closing = self._pairs.verbatim
        size = 0
        if opening:
            size = yield from Literal(opening).match(source, (yield from skip_space(source, 0)))
        is_verbatim = size > 0
        if is_verbatim:
            source.take(size)
            stops = [ValueEnd(closing)]
        if self._values.is_string(kind, pair.kind):
            write('"')
            is_complete = yield from until(source, stops, lambda text: write(escaped(text)))
            write('"' if is_complete else "")
        else:
            held: list[str] = []
            nested = "" if is_verbatim else self._values.start(pair.key)
            is_complete = yield from until(source, stops, held.append, nested)
            write(self._values.json_of("".join(held), kind, pair.kind, is_complete=is_complete))
        if is_complete and is_verbatim:
            yield from source.skip_space()
            yield from _take(source, end)
        return is_complete


def _take(source: Source, literal: Literal) -> Parsing[None]:
    size = (yield from literal.match(source)) if literal else 0
    if size > 0:
        source.take(size)


def _word(source: Source, at: int, stop: str, barred: str) -> Parsing[str | Miss]:
    """Returns the text up to a character; up to white space if that is empty."""
    for end in range(at, at + _LONGEST_WORD):
        if not (yield from source.has(end)):
            return Miss.CUT
        char = source.char(end)
        if char == stop or (not stop and char.isspace()):
            return source.slice(at, end)
        if char in barred:
            break
    return Miss.NONE


def _behind_space(source: Source, at: int, space: str) -> Parsing[int]:
    """Returns the offset behind white space of a form, or behind one line break if it has one; else the same."""
    end = at
    for char in space:
        if not (yield from source.has(end)) or source.char(end) != char:
            break
        end += 1
    else:
        return end
    is_line = "\n" in space and (yield from source.has(at)) and source.char(at) == "\n"
    return at + 1 if is_line else at
