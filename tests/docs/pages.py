"""The project's pages, taken apart: their links, headings and commands."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import dropwhile, groupby
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

PROJECT = Path(__file__).parents[2]
_ROOMS = ("docs", "deploy", "envoy", "benchmarks", "tools", "src")
_NOT_IN_SLUGS = re.compile(r"[^\w\- ]")
_ENDS = "&|;\n"
"""What ends a command of a shell."""
_COMMENT = re.compile(r"(?:^|(?<=\s))#.*$", re.MULTILINE)


@dataclass(frozen=True)
class Page:
    """One file of Markdown."""

    path: Path

    @cached_property
    def _tokens(self) -> list[Token]:
        return MarkdownIt("commonmark").enable("table").parse(self.path.read_text(encoding="utf-8"))

    @cached_property
    def _inline(self) -> list[Token]:
        return [child for token in self._tokens for child in token.children or ()]

    @property
    def links(self) -> list[str]:
        """The targets of links and pictures."""
        targets = (token.attrGet("href") or token.attrGet("src") for token in self._inline)
        return [str(target) for target in targets if target]

    @property
    def anchors(self) -> set[str]:
        """The headings' anchors, as GitHub makes them."""
        anchors: set[str] = set()
        for opening, token in zip(self._tokens, self._tokens[1:], strict=False):
            if opening.type == "heading_open":
                anchors.add(self._unused(_slug(token), anchors))
        return anchors

    @staticmethod
    def _unused(slug: str, anchors: set[str]) -> str:
        names = (f"{slug}-{number}" if number else slug for number in range(len(anchors) + 1))
        return next(name for name in names if name not in anchors)

    @property
    def code(self) -> list[str]:
        """What stands between backticks in sentences."""
        return [token.content for token in self._inline if token.type == "code_inline"]

    def commands(self) -> Iterator[list[str]]:
        """Yields each command of the page's shell blocks, as its words: the program, then the rest."""
        for block in self._tokens:
            if block.type == "fence" and block.info in ("sh", "bash"):
                yield from _commands(block.content)


def pages() -> list[Page]:
    """Returns all pages of the project."""
    found = {*PROJECT.glob("*.md"), *(path for room in _ROOMS for path in (PROJECT / room).rglob("*.md"))}
    return [Page(path) for path in sorted(found)]


def _slug(heading: Token) -> str:
    text = "".join(child.content for child in heading.children or ())
    return _NOT_IN_SLUGS.sub("", text.lower()).replace(" ", "-")


def _commands(script: str) -> Iterator[list[str]]:
    """Yields the words of the script's commands, variables before them left out."""
    lexer = shlex.shlex(_COMMENT.sub("", script.replace("\\\n", " ")), posix=True, punctuation_chars=_ENDS)
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t", True, ""
    for ended, words in groupby(lexer, key=lambda word: set(word) <= set(_ENDS)):
        command = list(dropwhile(_is_no_program, words))
        if command and not ended:
            yield command


def _is_no_program(word: str) -> bool:
    return word in ("do", "export") or re.match(r"\w+=", word) is not None
