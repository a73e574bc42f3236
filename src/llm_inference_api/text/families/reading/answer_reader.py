"""Incremental parser of whole answers in the form of any family: thoughts, content and calls.

No text is lost: what looks like a block but is none is content. What stands between blocks is markup if it is white
space or what the form has there.
"""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from llm_inference_api.requests.events import CallPart, Piece, Text, Thought
from llm_inference_api.requests.tools import ToolMode, ToolUse
from llm_inference_api.text.families.form import Form, MarkedBlock
from llm_inference_api.text.families.reading.answer_source import Parsing, ReadParts, Source
from llm_inference_api.text.families.reading.call_heads import BegunCall
from llm_inference_api.text.families.reading.call_reader import CallReader
from llm_inference_api.text.families.reading.literals import Literal, Miss
from llm_inference_api.text.families.reading.reader import Part, PlainReader, Reader
from llm_inference_api.text.families.reading.text_values import ValueEnd, until
from llm_inference_api.text.families.reading.thought_places import ThoughtPlaces
from llm_inference_api.text.families.thoughts import Thoughts
from llm_inference_api.text.stop_strings import longest_stop_start

_CONTROL = re.compile(r"<\||\|>|<｜|｜>")
"""What only control tokens have: nobody writes it by chance."""
_MOST_HEAD = 256
"""Characters of a recipient and what else stands in the head of a message; held till its end is found."""
_SPACE, _LINES = re.compile(r"\s+"), re.compile(r"\n+")


def answer_reader(form: Form, use: ToolUse | None, thoughts: Thoughts) -> Reader:
    """Returns a reader for one answer.

    Args:
        form: The form of the model's answers.
        use: The request's tools; None if it has none.
        thoughts: Where the prompt ends.
    """
    if use is None and not form.thoughts and not form.contents:
        return PlainReader()
    return AnswerReader(form, use, thoughts)


class _Marked(NamedTuple):
    """Blocks with the same opening."""

    opening: Literal
    closings: tuple[str, ...]


class _Starts(NamedTuple):
    """Characters that blocks begin with which may stand behind text."""

    texts: tuple[str, ...]
    pattern: re.Pattern[str] | None

    @classmethod
    def of(cls, texts: Sequence[str]) -> "_Starts":
        found = tuple(sorted({text for text in texts if text}, key=len, reverse=True))
        return cls(found, re.compile("|".join(map(re.escape, found))) if found else None)

    def held(self, source: Source) -> int:
        """Returns the size of the source's last characters that may be the beginning of one."""
        return longest_stop_start(source.tail(len(self.texts[0])), self.texts) if self.texts else 0


class AnswerReader:
    """Reads one answer."""

    def __init__(self, form: Form, use: ToolUse | None, thoughts: Thoughts) -> None:
        """Creates a reader; see `answer_reader`."""
        self._source = Source()
        self._parts = self._out = ReadParts(self._source)
        self._calls = CallReader(form.calls, use, self._source) if use else None
        self._must_call = use is not None and use.mode is ToolMode.REQUIRED
        """Whether the answer is calls, so that the beginning of one is nothing else."""
        self._thoughts = _marked(form.thoughts)
        self._contents = _marked(form.contents)
        self._asides = form.asides
        self._to_others = [Literal(opening) for opening in form.asides.openings] if form.asides else []
        self._between = [literal for literal in map(Literal, (form.between, form.ending)) if literal]
        self._ends = [Literal(closing) for block in self._thoughts for closing in block.closings if closing.strip()]
        self._may_think = thoughts is not Thoughts.CLOSED
        self._thinks = ThoughtPlaces()
        self._opened_at = 0
        """Position of the opening of the last block."""
        if thoughts.are_open and self._thoughts:
            self._thinks.begin(0, self._end_of(self._thoughts[0]))
        self._at_block = thoughts is not Thoughts.AFTER
        """Whether a block may begin without a marker that is a control token."""
        self._has_contents = False
        """Whether content with markers has been read."""
        self._words = _Words(self._put, Text)
        self._starts: dict[object, _Starts] = {}
        self._run = self._answer(thoughts)

    @property
    def closing(self) -> str | None:
        """See `Reader.closing`."""
        return self._thinks.closing

    @property
    def thought_ranges(self) -> list[tuple[int, int]]:
        """See `Reader.thought_ranges`."""
        return self._thinks.ranges(self._source.position + self._source.size)

    def add(self, text: str, *, final: bool) -> list[Part]:
        """See `Reader.add`."""
        self._source.feed(text, final=final)
        if text or final:
            next(self._run, None)
        if final:
            self._out.finish()
        return self._out.drain()

    def _answer(self, thoughts: Thoughts) -> Parsing[None]:
        source = self._source
        if thoughts is Thoughts.OPENED and self._thoughts:
            yield from self._opened(self._thoughts[0])
        elif thoughts is Thoughts.INSIDE and self._thoughts:
            yield from self._think(self._thoughts[0], is_new=False)
        elif thoughts is Thoughts.CLOSED:
            yield from self._skip_lines()
        elif thoughts is Thoughts.AFTER and self._contents:
            yield from self._content(self._contents[0], is_new=False)
        while (yield from source.has(0)):
            if not self._at_block:
                yield from self._text()
            elif not (yield from self._block(anywhere=False)):
                space = source.take(source.run(_SPACE))
                self._words.hold(space)
                self._at_block = bool(space)
        has_said = not self._at_block or not self._contents
        self._words.finish(keep=has_said and not self._parts.calls)

    def _opened(self, block: _Marked) -> Parsing[None]:
        """Reads what follows an opening of thoughts in the prompt: perhaps that again, or a block without thoughts."""
        yield from self._skip_lines()
        size = (yield from block.opening.match(self._source)) if block.opening else 0
        self._source.take(max(size, 0))
        for literal in self._ends if size <= 0 else ():
            if (end := (yield from literal.match(self._source))) > 0:
                self._source.take(end)
                self._thinks.end(self._source.position)
                yield from self._skip_lines()
                return
        if size > 0 or not (yield from self._block(anywhere=False)):
            yield from self._think(block, is_new=True)

    def _text(self) -> Parsing[None]:
        """Reads text up to a block, or to the answer's end."""
        source = self._source
        while True:
            starts = self._marker_starts()
            at = source.search(starts.pattern)[0] if starts.pattern else -1
            if at < 0:
                self._say(source.take(source.size - (0 if source.final else starts.held(source))))
                if source.final:
                    return
                yield
                continue
            self._say(source.take(at))
            if (yield from self._block(anywhere=True)):
                return
            self._say(source.take(1))

    def _say(self, text: str) -> None:
        """Adds content. White space at its end is held where a block may follow, since it belongs to that."""
        if self._marker_starts().pattern:
            self._words.add(text)
        else:
            self._words.say(text)

    def _block(self, *, anywhere: bool) -> Parsing[bool]:
        """Reads the block, or the text between two, that begins at the first offset; returns whether there is one.

        Args:
            anywhere: Whether text stands before, so that only what is no data nor prose begins a block.
        """
        source = self._source
        miss = yield from self._call_block(anywhere=anywhere)
        if miss > 0:
            return True
        for literal, then in self._openings(anywhere=anywhere):
            size = yield from literal.match(source)
            if size > 0:
                self._thinks.end(source.position)
                self._opened_at = source.position
                source.take(size)
                self._words.drop()
                self._at_block = True
                yield from then()
                return True
            miss = min(miss, size)
        is_cut = miss == Miss.CUT and not anywhere and (self._must_call or self._parts.calls or self._has_contents)
        if is_cut:
            self._words.drop()
            source.take(source.size)
        return bool(is_cut)

    def _call_block(self, *, anywhere: bool) -> Parsing[int]:
        """Reads calls, or what stands behind them; returns a positive number if there are any, else a `Miss`."""
        if self._calls is None:
            return Miss.NONE
        begun = yield from self._calls.at_start(anywhere=anywhere)
        if isinstance(begun, BegunCall):
            self._thinks.end(self._source.position)
            yield from self._read_calls(begun)
            return 1
        size = yield from self._calls.closing_at_start(anywhere=anywhere)
        if size == Miss.CUT:
            size = self._source.size
        if size <= 0:
            return begun
        self._source.take(size)
        self._words.drop()
        self._at_block = True
        return size

    def _openings(self, *, anywhere: bool) -> list[tuple[Literal, Callable[[], Parsing[None]]]]:
        """Returns what begins blocks or stands between them, and what reads on behind it."""
        found: list[tuple[Literal, Callable[[], Parsing[None]]]] = []
        if self._may_think:
            found += [(block.opening, partial(self._think, block, is_new=True)) for block in self._thoughts]
        found += [(block.opening, partial(self._content, block)) for block in self._contents]
        found += [(literal, partial(self._aside, literal)) for literal in self._to_others]
        found += [(literal, _nothing) for literal in self._between]
        found += [(literal, self._skip_lines) for literal in self._ends]
        return [(literal, then) for literal, then in found if literal and (not anywhere or self._is_apart(literal))]

    def _is_apart(self, literal: Literal) -> bool:
        """Returns whether a literal is markup wherever it stands. Markers of thoughts may be spoken of."""
        of_thoughts = literal in [*self._ends, *self._to_others, *(block.opening for block in self._thoughts)]
        return bool(_CONTROL.search(literal.text)) if of_thoughts else literal.is_marker

    def _marker_starts(self) -> _Starts:
        calls = self._calls
        state = calls.state if calls else None
        if state not in self._starts:
            texts = [literal.start for literal, _ in self._openings(anywhere=True)]
            self._starts[state] = _Starts.of([*texts, *(calls.starts if calls else ())])
        return self._starts[state]

    def _read_calls(self, begun: BegunCall) -> Parsing[None]:
        """Reads a call, and those that follow it."""
        assert self._calls
        following: BegunCall | None = begun
        while following:
            self._words.drop()
            yield from self._calls.read(following, self._parts)
            following = yield from self._next_call(self._calls)
        self._at_block = True

    def _next_call(self, calls: CallReader) -> Parsing[BegunCall | None]:
        """Takes what stands behind a call, and returns the next one; None if other text follows."""
        while (yield from self._source.has(0)):
            begun = yield from calls.at_start(anywhere=False)
            if isinstance(begun, BegunCall):
                return begun
            size = yield from calls.closing_at_start(anywhere=False)
            for literal in self._between if size < 0 else ():
                size = max(size, (yield from literal.match(self._source)))
            if Miss.CUT in (begun, size):
                size = self._source.size
            if size > 0:
                self._words.drop()
                self._source.take(size)
            elif separator := calls.separator():
                self._words.hold(separator)
            else:
                return None
        return None

    def _think(self, block: _Marked, *, is_new: bool) -> Parsing[None]:
        """Reads thoughts up to their end, or to a call with which the answer ends.

        Args:
            block: Their form.
            is_new: Whether nothing of them has been read, so that line breaks belong to their opening.
        """
        source, tried = self._source, 0
        self._thinks.begin(self._opened_at, self._end_of(block))
        words = _Words(self._put, Thought, "\n")
        closings = {text for closing in block.closings if (text := closing.strip())}
        calls = self._calls.starts if self._calls else []
        starts = _Starts.of([*closings, *calls]) if closings else self._marker_starts()
        if is_new:
            yield from self._skip_lines()
        while (yield from source.has(0)):
            at, found = source.search(starts.pattern) if starts.pattern else (-1, "")
            if at < 0:
                words.add(source.take(source.size - (0 if source.final else starts.held(source))))
                if not source.final:
                    yield
                continue
            words.add(source.take(at))
            if found in closings:
                source.take(len(found))
                self._thinks.end(source.position)
                self._at_block = True
                yield from self._skip_lines()
                return
            if not closings and (yield from self._block(anywhere=True)):
                return
            if closings and self._calls and source.position >= tried:
                at = source.position
                tried = yield from self._call_in_thoughts(self._calls)
                if not source.size:
                    self._thinks.end(at)
                    return
            words.add(source.take(1))
        words.finish(keep=words.has_begun)

    def _aside(self, opening: Literal) -> Parsing[None]:
        """Reads a message to somebody else behind its opening: the rest of its head, and its text as thoughts."""
        asides, source = self._asides, self._source
        assert asides
        ends = [asides.text, *([asides.channel] if opening.text.startswith(asides.channel) else [])]
        pattern = re.compile("|".join(map(re.escape, ends)))
        while (found := source.search(pattern))[0] < 0 and not source.final and source.size <= _MOST_HEAD:
            yield
        at, end = found
        source.take(at + len(end) * (end == asides.text) if end else source.size * (source.size <= _MOST_HEAD))
        if end != asides.channel:
            yield from self._think(_Marked(opening, asides.closings), is_new=True)

    def _call_in_thoughts(self, calls: CallReader) -> Parsing[int]:
        """Reads calls within thoughts that are not closed, if the answer ends with them.

        Others are thoughts. Which they are shows behind them, so their parts are held till then.

        Returns:
            The position up to which there are no others. The calls are read if no text is left.
        """
        source, outer, state = self._source, self._parts, calls.state
        begun = yield from calls.at_start(anywhere=True)
        if not isinstance(begun, BegunCall):
            return source.position
        source.record()
        self._parts = outer.fork()
        yield from self._read_calls(begun)
        if not (yield from source.has(0)):
            source.keep()
            outer.join(self._parts)
            self._parts = outer
            return source.position
        tried = source.position
        source.put_back()
        self._parts, calls.state = outer, state
        self._words.drop()
        return tried

    def _content(self, block: _Marked, *, is_new: bool = True) -> Parsing[None]:
        """Reads content with markers. Without a closing one it extends to the next block."""
        source = self._source
        text = block.opening.text if is_new else ""
        for space in text[len(text.rstrip()) :]:
            if (yield from source.has(0)) and source.char() == space:
                source.take(1)
        ends = [ValueEnd(closing) for closing in block.closings if closing.strip()]
        if not ends:
            self._at_block = False
            return
        if not (yield from until(source, ends, self._words.say)):
            self._words.say(source.take(source.size))
        self._at_block = self._has_contents = True

    def _end_of(self, block: _Marked) -> str:
        """Returns the text that ends thoughts: their closing, or else the opening of the content behind them."""
        closing = next((closing for closing in block.closings if closing.strip()), "")
        return closing or (self._contents[0].opening.text if self._contents else "")

    def _skip_lines(self) -> Parsing[None]:
        yield from self._source.skip(_LINES)

    def _put(self, piece: Piece, behind: int) -> None:
        """Adds a piece that ends so many characters before what is not taken yet."""
        assert not isinstance(piece, CallPart)
        self._parts.put(piece, len(piece.text), self._source.position - behind)


class _Words:
    """Content or thoughts. White space at their end is held until it shows whether it belongs to a marker."""

    def __init__(
        self, put: Callable[[Piece, int], None], kind: Callable[[str], Piece], space: str | None = None
    ) -> None:
        """Creates a text.

        Args:
            put: Takes pieces, with the number of the characters taken behind each.
            kind: Makes a piece of a text.
            space: Characters that are held; None: white space.
        """
        self._put = put
        self._kind = kind
        self._space = space
        self._held: list[str] = []
        self.has_begun = False
        """Whether there has been other text than white space."""

    def add(self, text: str) -> None:
        """Adds the text that was taken last."""
        kept = text.rstrip(self._space)
        if kept.strip() or (kept and self.has_begun):
            self._put(self._kind("".join(self._held) + kept), len(text) - len(kept))
            self._held, self.has_begun = [], True
            self.hold(text[len(kept) :])
        else:
            self.hold(text)

    def say(self, text: str) -> None:
        """Adds the text that was taken last, and holds nothing."""
        self.hold(text)
        self.finish(keep=True)

    def hold(self, text: str) -> None:
        """Holds the text that was taken last."""
        if text:
            self._held.append(text)

    def drop(self) -> None:
        """Makes markup of what is held."""
        self._held.clear()

    def finish(self, *, keep: bool) -> None:
        """Adds what is held, or makes markup of it."""
        if keep and self._held:
            self._put(self._kind("".join(self._held)), 0)
        self._held.clear()


def _marked(blocks: Sequence[MarkedBlock]) -> list[_Marked]:
    """Returns the blocks, joined by their opening."""
    openings = dict.fromkeys(block.opening for block in blocks)
    return [
        _Marked(Literal(opening), tuple(block.closing for block in blocks if block.opening == opening))
        for opening in openings
    ]


def _nothing() -> Parsing[None]:
    yield from ()
