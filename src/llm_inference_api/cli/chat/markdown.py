"""Markdown in answers, read so that nothing of a model's text is lost.

CommonMark takes characters away that models mean: it makes `__init__` bold and eats the stars of `a*b*c`, drops HTML
and definitions of links, and joins the lines of a poem. Where that may happen, text stays as it is.
"""

import re
from typing import ClassVar

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline
from markdown_it.rules_inline.emphasis import tokenize as tokenize_emphasis
from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import CodeBlock, Heading, Markdown, MarkdownElement, TableElement
from rich.segment import Segment
from rich.syntax import Syntax
from rich.table import Table

_THEME = "ansi_dark"
"""Colours of the terminal itself, on its own background."""
_ESCAPABLE = frozenset("*_`#|~+-.!>")
"""What models escape so that it is not taken for Markdown. Not brackets: `\\(` and `\\[` begin mathematics."""
_IN_PATHS = frozenset(":\\/.")
"""What stands before a backslash in a path."""
_WORD = re.compile(r"\.?\w")
_RULES_OFF = ("autolink", "entity", "html_inline", "image", "html_block", "reference")


def _emphasis(state: StateInline, silent: bool) -> bool:  # noqa: FBT001
    """Takes stars for emphasis as CommonMark does, but not between letters or digits, and no underscores."""
    marker, start = state.src[state.pos], state.pos
    if marker != "*":
        return False
    end = start
    while end < state.posMax and state.src[end] == marker:
        end += 1
    before, after = state.src[:start][-1:], state.src[end : end + 1]
    if before.isascii() and before.isalnum() and after.isascii() and after.isalnum():
        if not silent:
            state.pending += marker * (end - start)
        state.pos = end
        return True
    return tokenize_emphasis(state, silent)


def _escape(state: StateInline, silent: bool) -> bool:  # noqa: FBT001
    """Takes the backslash of an escape away, but not within a word or a path such as one of Windows."""
    before, after = state.src[: state.pos][-1:], state.src[state.pos + 1 : state.pos + 2]
    if state.src[state.pos] != "\\" or state.pos + 1 >= state.posMax or after not in _ESCAPABLE:
        return False
    if not silent:
        is_within = before in _IN_PATHS or (before.isalnum() and _WORD.match(state.src, state.pos + 2))
        state.pending += f"\\{after}" if is_within else after
    state.pos += 2
    return True


def _newline(state: StateInline, silent: bool) -> bool:  # noqa: FBT001
    """Takes every line break for one that is seen, and keeps the blanks behind it: small models write code so."""
    if state.src[state.pos] != "\n":
        return False
    if not silent:
        state.pending = state.pending.rstrip(" ")
        state.push("hardbreak", "br", 0)
    state.pos += 1
    return True


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"]).disable(_RULES_OFF)
    parser.inline.ruler.at("emphasis", _emphasis)
    parser.inline.ruler.at("escape", _escape)
    parser.inline.ruler.at("newline", _newline)
    return parser


_PARSER = _parser()


def closed_part(text: str) -> str:
    """Returns the beginning of a text that more text cannot change: all its top-level blocks but the last."""
    starts = [token.map[0] for token in _PARSER.parse(text) if token.level == 0 and token.map and token.nesting >= 0]
    return "".join(f"{line}\n" for line in text.split("\n")[: starts[-1]]) if len(starts) > 1 else ""


class _Code(CodeBlock):
    """Code without a margin, so that it can be copied, and without a background."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Syntax(
            str(self.text).rstrip(), self.lexer_name, theme=self.theme, word_wrap=True, background_color="default"
        )


class _Heading(Heading):
    """A heading that stands where it was written."""

    LEVEL_ALIGN: ClassVar = dict.fromkeys(Heading.LEVEL_ALIGN, "left")


class _Table(TableElement):
    """A table whose cells go on below instead of being cut."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        shown = Table(box=box.SIMPLE, pad_edge=False, collapse_padding=True)
        if self.header is not None and self.header.row is not None:
            for cell in self.header.row.cells:
                shown.add_column(cell.content, overflow="fold", justify=cell.justify)
        for row in self.body.rows if self.body is not None else ():
            shown.add_row(*(cell.content for cell in row.cells))
        yield shown


class AnswerMarkdown(Markdown):
    """A text of a model that is shown as Markdown."""

    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **Markdown.elements,
        "fence": _Code,
        "code_block": _Code,
        "heading_open": _Heading,
        "table_open": _Table,
    }

    def __init__(self, text: str) -> None:
        super().__init__("", code_theme=_THEME, hyperlinks=False)
        self.markup = text
        self.parsed = _PARSER.parse(text)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yields the lines without the blanks by which rich fills them: what is copied would have them."""
        parts = super().__rich_console__(console, options)
        segments = (
            segment
            for part in parts
            for segment in ((part,) if isinstance(part, Segment) else console.render(part, options))
        )
        for line in Segment.split_lines(segments):
            yield from _without_end(line)
            yield Segment.line()


def _without_end(line: list[Segment]) -> list[Segment]:
    """Returns a line without the blanks at its end."""
    line = list(line)
    while line and not line[-1].control:
        text, style, _ = line.pop()
        if text := text.rstrip(" "):
            return [*line, Segment(text, style)]
    return line
